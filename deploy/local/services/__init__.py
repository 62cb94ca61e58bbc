"""Postgres and RabbitMQ from given URLs, Docker, this machine's programs or its distribution's packages."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.services.choose import this_machine
from deploy.local.services.errors import (
    DirectoryInUse,
    DirectoryUnreachable,
    InstallationFailed,
    NoServices,
    ServerFailed,
    ServicesError,
    ServiceSilent,
)
from deploy.local.services.lock import locked
from deploy.local.services.obtain import Obtained, Place, obtained
from deploy.local.services.private import PrivateServer
from deploy.local.services.settings import Source, Wish, wishes

__all__ = [
    "DirectoryInUse",
    "DirectoryUnreachable",
    "InstallationFailed",
    "NoServices",
    "PrivateServer",
    "ServerFailed",
    "ServiceSilent",
    "Services",
    "ServicesError",
    "services",
]


@dataclass(frozen=True, slots=True)
class Services:
    """Both services, answering. The URLs hold passwords: they are kept out of the representation."""

    database_url: str = field(repr=False)  # may create databases and roles
    amqp_url: str = field(repr=False)
    sources: tuple[str, ...]  # a line per service, fit to be printed
    postgres: PrivateServer | None = None  # only private instances can be killed and started again
    rabbitmq: PrivateServer | None = None
    management_url: str | None = field(default=None, repr=False)
    broker_metrics_url: str | None = None


@contextlib.asynccontextmanager
async def services(
    directory: Path,
    *,
    durable: bool = True,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> AsyncIterator[Services]:
    """Both services, started side by side if need be; everything started here is gone again on exit.

    `directory` belongs to the services from now on and keeps their data, ports and passwords, so that the
    next call with it continues where this one ended, however this process ends. `durable=False` suits data
    that is thrown away: quicker, and safe against killed servers but not against a power failure. `say` is
    told what takes long or was tried in vain; `sources` of the result says what was chosen.
    To be entered in the main thread. Raises subclasses of ServicesError.
    """
    asked = wishes(os.environ if environment is None else environment)
    both = (asked.postgres, asked.rabbitmq)
    machine = await this_machine(say, look_for_docker=any(map(_may_be_docker, both)))
    place = Place(_made(directory), durable)
    with locked(place.directory):
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(stack.enter_async_context(obtained(w, machine, place)))
                        for w in both
                    ]
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            yield _services(*(task.result() for task in tasks))


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory.resolve()


def _may_be_docker(wish: Wish) -> bool:
    return wish.url is None and wish.forced in (None, Source.DOCKER)


def _services(database: Obtained, broker: Obtained) -> Services:
    return Services(
        database_url=database.url,
        amqp_url=broker.url,
        sources=(f"Postgres: {database.source}", f"RabbitMQ: {broker.source}"),
        postgres=database.server,
        rabbitmq=broker.server,
        management_url=broker.management_url,
        broker_metrics_url=broker.metrics_url,
    )
