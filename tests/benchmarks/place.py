"""Where benchmarks run: the whole system, on services of its own."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aio_pika

from deploy.local.place import temporary
from deploy.local.services import services
from tests.kit.broker import own_prefix
from tests.kit.database import cloned, make_template
from tests.kit.sandbox import running_sandbox
from tests.kit.system import RunningSystem, running_system


@asynccontextmanager
async def bench(
    settings: Mapping[str, str], *, apart: bool
) -> AsyncIterator[tuple[RunningSystem, tuple[str, ...]]]:
    """`apart`: each step is its own process. Also says what the services are."""
    private = {**os.environ, "LEADSAGA_SERVICES": "private"}
    with temporary() as directory:
        async with services(directory, durable=False, environment=private) as found:
            template = await make_template(found.database_url)
            async with (
                cloned(found.database_url, template) as url,
                own_prefix(found.amqp_url) as prefix,
                running_sandbox(directory / "sandbox") as sandbox,
                running_system(
                    url, found.amqp_url, prefix, sandbox, directory, apart=apart, settings=settings
                ) as system,
            ):
                yield system, (found.sources[0], await broker_version(found.amqp_url))


async def broker_version(amqp_url: str) -> str:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        assert connection.transport is not None
        return f"RabbitMQ: {connection.transport.connection.server_properties['version']!s}"
