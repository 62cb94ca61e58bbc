"""One service from the first source that works."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from deploy.local.services import apt, docker, given
from deploy.local.services.answers import broker_answers, database_answers
from deploy.local.services.choose import Machine, missing, sources
from deploy.local.services.errors import ImageMissing, InstallationFailed, NoServices, WaysOut
from deploy.local.services.postgres import PrivatePostgres, find_postgres
from deploy.local.services.private import PrivateServer
from deploy.local.services.rabbitmq import PrivateRabbitMQ, find_rabbitmq
from deploy.local.services.settings import Source, Wish


@dataclass(frozen=True, slots=True)
class Obtained:
    url: str = field(repr=False)
    source: str
    server: PrivateServer | None = None
    management_url: str | None = field(default=None, repr=False)
    metrics_url: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where private instances and containers keep their data, and how carefully."""

    directory: Path
    durable: bool


@contextlib.asynccontextmanager
async def obtained(wish: Wish, machine: Machine, place: Place) -> AsyncIterator[Obtained]:
    """The running service; stopped on exit if it was started here. Raises NoServices with the ways out."""
    tried: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        for source in sources(wish, machine):
            try:
                service = await stack.enter_async_context(_from(source, wish, machine, place))
            except (ImageMissing, InstallationFailed) as error:
                tried.append(str(error))
                machine.say(f"{wish.service}: {error}")
                continue
            break
        else:
            raise NoServices(str(WaysOut(wish.service, wish.url_setting, tuple(tried) or (missing(wish),))))
        yield service


def _from(
    source: Source, wish: Wish, machine: Machine, place: Place
) -> contextlib.AbstractAsyncContextManager[Obtained]:
    match source:
        case Source.URLS:
            return _given(wish)
        case Source.DOCKER:
            return _container(wish, place)
        case Source.PRIVATE:
            return _private(wish, place)
        case Source.PACKAGES:
            return _installed(wish, machine, place)
        case _ as unreachable:
            assert_never(unreachable)


@contextlib.asynccontextmanager
async def _given(wish: Wish) -> AsyncIterator[Obtained]:
    url = wish.url or ""
    check = given.check_database if wish.service == "Postgres" else given.check_broker
    yield Obtained(url=url, source=await check(url))


@contextlib.asynccontextmanager
async def _container(wish: Wish, place: Place) -> AsyncIterator[Obtained]:
    containers = docker.Containers(wish.image, place.directory, place.durable)
    source = f"Docker container of {wish.image}"
    if wish.service == "Postgres":
        async with docker.running(containers.postgres) as container:
            address = await docker.address(container, docker.POSTGRES_PORT)
            url = f"postgresql://{docker.ADMIN}:{container.env['POSTGRES_PASSWORD']}@{address}/postgres"
            await docker.until_ready(lambda: database_answers(url))
            yield Obtained(url, f"{source}, {address}")
    else:
        async with docker.running(containers.rabbitmq) as container:
            login = f"{docker.ADMIN}:{container.env['RABBITMQ_DEFAULT_PASS']}"
            address = await docker.address(container, docker.AMQP_PORT)
            url = f"amqp://{login}@{address}/"
            await docker.until_ready(lambda: broker_answers(url))
            management = f"http://{login}@{await docker.address(container, docker.MANAGEMENT_PORT)}"
            metrics = f"http://{await docker.address(container, docker.METRICS_PORT)}/metrics"
            yield Obtained(url, f"{source}, {address}", None, management, metrics)


@contextlib.asynccontextmanager
async def _installed(wish: Wish, machine: Machine, place: Place) -> AsyncIterator[Obtained]:
    async with machine.installing:
        await apt.install(wish.packages, machine.say)
    if not machine.has(wish.service):
        raise InstallationFailed(
            f"{' '.join(wish.packages)} was installed, but its server programs were not found"
        )
    async with _private(wish, place) as service:
        yield service


@contextlib.asynccontextmanager
async def _private(wish: Wish, place: Place) -> AsyncIterator[Obtained]:
    server = _server(wish, place)
    try:
        await server.start()
        if isinstance(server, PrivateRabbitMQ):
            yield Obtained(server.url, server.source, server, server.management_url, server.metrics_url)
        else:
            yield Obtained(server.url, server.source, server)
    finally:
        # Data that nobody will read again needs no orderly end.
        await (server.stop() if place.durable or isinstance(server, PrivatePostgres) else server.kill())


def _server(wish: Wish, place: Place) -> PrivatePostgres | PrivateRabbitMQ:
    if wish.service == "Postgres":
        binaries = find_postgres()
        assert binaries is not None
        return PrivatePostgres(binaries, place.directory, durable=place.durable)
    program = find_rabbitmq()
    assert program is not None
    return PrivateRabbitMQ(program, place.directory, durable=place.durable)
