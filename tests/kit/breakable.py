"""The whole system on servers of its own, which may be stopped, killed, cut off, silenced and slowed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local.services import Services, services
from tests.kit.database import cloned, make_template
from tests.kit.proxy import Proxy, proxied
from tests.kit.roles import as_role
from tests.kit.sandbox import running_sandbox
from tests.kit.system import RunningSystem, running_system
from tests.kit.zygote import ForkedChildren, zygote

PRIVATE = {"LEADSAGA_SERVICES": "private"}


@dataclass(frozen=True, slots=True)
class Breakable:
    system: RunningSystem
    servers: Services
    broker: Proxy
    """The line of all processes to RabbitMQ. The upstream side has one of its own, which never breaks."""
    database: Proxy
    """The line of all processes to Postgres. Tests look at the database past it."""


@asynccontextmanager
async def breakable_system(
    directory: Path, *, apart: bool = False, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Breakable]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        servers = await enter(services(directory / "services", durable=False, environment=PRIVATE))
        template = await make_template(servers.database_url)
        database_url = await enter(cloned(servers.database_url, template))
        broker = await enter(proxied(servers.amqp_url))
        database = await enter(proxied(database_url))
        given = {
            "LEADSAGA_AMQP_URL": broker.url,
            "LEADSAGA_ENGINE_URL": as_role(database.url, "leadsaga_engine"),
            "LEADSAGA_STEPS_URL": as_role(database.url, "leadsaga_steps"),
            **(settings or {}),
        }
        system = await enter(
            running_system(
                *(database_url, servers.amqp_url, "", await enter(running_sandbox(directory / "sandbox"))),
                directory,
                apart=apart,
                lasting=True,
                settings=given,
                make_children=partial(ForkedChildren, zygote=await enter(zygote())),
            )
        )
        yield Breakable(system, servers, broker, database)
