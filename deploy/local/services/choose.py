"""Which sources to try for one service, in which order."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.services import apt
from deploy.local.services.docker import docker_answers
from deploy.local.services.postgres import find_postgres
from deploy.local.services.rabbitmq import find_rabbitmq
from deploy.local.services.settings import Source, Wish


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has to offer. Looked up when asked: installing packages changes the answers."""

    docker: bool
    can_install: bool
    binaries: dict[str, Callable[[], Path | None]]
    say: Callable[[str], None]
    installing: asyncio.Lock = field(default_factory=asyncio.Lock)  # the package manager serves one at a time

    def has(self, service: str) -> bool:
        return self.binaries[service]() is not None


async def this_machine(say: Callable[[str], None], *, look_for_docker: bool) -> Machine:
    return Machine(
        docker=look_for_docker and await docker_answers(),
        can_install=apt.can_install(),
        binaries={"Postgres": find_postgres, "RabbitMQ": find_rabbitmq},
        say=say,
    )


def sources(wish: Wish, machine: Machine) -> tuple[Source, ...]:
    """The sources that promise to work, best first; empty if there is none."""
    possible = {
        Source.URLS: wish.url is not None,
        Source.DOCKER: machine.docker,
        Source.PRIVATE: machine.has(wish.service),
        Source.PACKAGES: machine.can_install and not machine.has(wish.service),
    }
    return tuple(source for source in _allowed(wish) if possible[source])


def _allowed(wish: Wish) -> tuple[Source, ...]:
    match wish.forced:
        case None:
            # A URL is an order, not an offer: if it does not answer, nothing else is put in its place.
            return (Source.URLS,) if wish.url else (Source.DOCKER, Source.PRIVATE, Source.PACKAGES)
        case Source.PRIVATE:
            return (Source.PRIVATE, Source.PACKAGES)
        case one:
            return (one,)


def missing(wish: Wish) -> str:
    """Why nothing came of a forced source."""
    match wish.forced:
        case Source.URLS:
            return f"LEADSAGA_SERVICES=urls, but {wish.url_setting} is not set"
        case Source.DOCKER:
            return "LEADSAGA_SERVICES=docker, but Docker does not answer"
        case _:
            return "Docker does not answer, no server programs were found, and packages cannot be installed"
