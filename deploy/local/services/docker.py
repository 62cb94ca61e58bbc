"""Services in containers of this machine's Docker, by testcontainers."""

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import (  # type: ignore[import-untyped] # the library has no types
    DockerException,
    ImageNotFound,
)
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from deploy.local.services.errors import ImageMissing, ServerFailed
from deploy.local.services.postgres import THROWAWAY_OPTIONS
from deploy.local.services.processes import POLL_SECONDS
from deploy.local.services.rabbitmq import CONSUMER_TIMEOUT, LARGEST_MESSAGE

ADMIN = "leadsaga_admin"
POSTGRES_PORT, AMQP_PORT, MANAGEMENT_PORT, METRICS_PORT = 5432, 5672, 15672, 15692
POSTGRES_DATA = "/var/lib/postgresql/leadsaga"
LABEL = "leadsaga.directory"
START_SECONDS = 120.0
DEFAULT_HOST = "unix:///var/run/docker.sock"


async def docker_answers() -> bool:
    return await asyncio.to_thread(_ping)


def _ping() -> bool:
    logging.getLogger("testcontainers").setLevel(logging.WARNING)
    if not _listens(get_docker_host() or DEFAULT_HOST):
        return False
    try:
        client = DockerClient().client
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


def _listens(host: str) -> bool:
    """Looks before the Docker library does: where no one listens, it forgets to close its socket."""
    scheme, _, path = host.partition("://")
    if scheme != "unix":
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


@dataclass(frozen=True, slots=True)
class Containers:
    """What one service's container is made from."""

    image: str
    directory: Path
    durable: bool

    def postgres(self) -> DockerContainer:
        container = self._container("postgres")
        password = _password(self.directory, "postgres")
        container.with_envs(POSTGRES_USER=ADMIN, POSTGRES_PASSWORD=password, PGDATA=f"{POSTGRES_DATA}/data")
        options = ["max_connections=200", *(() if self.durable else THROWAWAY_OPTIONS)]
        container.with_command(["postgres", *(word for option in options for word in ("-c", option))])
        _publish(container, POSTGRES_PORT)
        return self._keep(container, "postgres", POSTGRES_DATA)

    def rabbitmq(self) -> DockerContainer:
        container = self._container("rabbitmq")
        password = _password(self.directory, "rabbitmq")
        # The data belongs to the node's name.
        container.with_envs(
            RABBITMQ_DEFAULT_USER=ADMIN,
            RABBITMQ_DEFAULT_PASS=password,
            RABBITMQ_NODENAME="leadsaga@localhost",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                f"-rabbit max_message_size {LARGEST_MESSAGE} consumer_timeout {CONSUMER_TIMEOUT}"
            ),
        )
        _publish(container, AMQP_PORT, MANAGEMENT_PORT, METRICS_PORT)
        return self._keep(container, "rabbitmq", "/var/lib/rabbitmq")

    def _container(self, service: str) -> DockerContainer:
        label = f"{self.directory}/{service}"
        container = DockerContainer(self.image, labels={LABEL: label})
        # A killed run left its container on the same data; two servers on one data directory destroy it.
        client: Any = container.get_docker_client().client
        for leftover in client.containers.list(all=True, filters={"label": f"{LABEL}={label}"}):
            leftover.remove(force=True)
        return container

    def _keep(self, container: DockerContainer, service: str, inside: str) -> DockerContainer:
        if self.durable:
            container.with_volume_mapping(self.directory / f"docker-{service}" / "data", inside, "rw")
        return container


@contextlib.asynccontextmanager
async def running(make: Callable[[], DockerContainer]) -> AsyncIterator[DockerContainer]:
    """Removes the container afterwards. Raises ImageMissing when Docker cannot get the image."""
    container = await asyncio.to_thread(make)
    start = asyncio.create_task(asyncio.to_thread(_start, container))
    try:
        yield await asyncio.shield(start)
    finally:
        # A thread cannot be interrupted: an unfinished start is waited for, else its container would stay.
        await asyncio.wait([start])
        await asyncio.to_thread(_remove, container)


async def address(container: DockerContainer, port: int) -> str:
    """Where this machine reaches a port of the container, as host:port."""
    host = container.get_container_host_ip()
    return f"{host}:{await asyncio.to_thread(container.get_exposed_port, port)}"


async def until_ready(answers: Callable[[], Awaitable[bool]]) -> None:
    """Raises ServerFailed when the time is up."""
    deadline = time.monotonic() + START_SECONDS
    while not await answers():
        if time.monotonic() > deadline:
            raise ServerFailed(f"A container was started, but did not answer within {START_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


def _publish(container: DockerContainer, *ports: int) -> None:
    local = container.get_docker_client().host() in ("localhost", "127.0.0.1")
    published: Any = (
        container.ports
    )  # the annotation leaves out the (address,) form, a free port of one address
    for port in ports:
        published[str(port)] = ("127.0.0.1",) if local else None


def _password(directory: Path, service: str) -> str:
    """Kept beside the data, which remembers it."""
    home = directory / f"docker-{service}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(24), encoding="ascii")
    return file.read_text(encoding="ascii")


def _start(container: DockerContainer) -> DockerContainer:
    _have(container, container.image)
    try:
        _have(container, testcontainers_config.ryuk_image)
    except ImageMissing:
        # It removes the containers of killed runs; in any other case this process removes its own.
        testcontainers_config.ryuk_disabled = True
    return container.start()


def _have(container: DockerContainer, image: str) -> None:
    client: Any = container.get_docker_client().client
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.pull(image)
        except DockerException as error:
            raise ImageMissing(
                f"Docker has no image {image} and cannot pull it ({type(error).__name__})"
            ) from None


def _remove(container: DockerContainer) -> None:
    with contextlib.suppress(DockerException):
        container.stop()
