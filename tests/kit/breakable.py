"""The whole system on servers of its own, which may be stopped, killed, cut off, silenced and slowed."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2

from contracts.requests import LeadRequested
from deploy.local.services import PrivateServer, Services, services
from deploy.local.services.rabbitmq import PrivateRabbitMQ
from tests.kit.asking import lead_request
from tests.kit.database import cloned, make_template
from tests.kit.mortal import Mortal, verdict
from tests.kit.outsider import PATIENCE
from tests.kit.proxy import Proxy, proxied
from tests.kit.sandbox import running_sandbox, until
from tests.kit.system import RunningSystem, Tenant, running_system
from tests.kit.zygote import ForkedChildren, zygote

PRIVATE = {"LEADSAGA_SERVICES": "private"}

BACK_SECONDS = 15.0
"""Within which everything works again once what was away is back."""

REMEMBERED = 6.0
"""Seconds after which a killed broker remembers the queues that were declared."""


@dataclass(frozen=True, slots=True)
class Breakable:
    system: RunningSystem
    servers: Services
    broker: Proxy
    """The line of all processes to RabbitMQ. The upstream side has one of its own, which never breaks."""
    database: Proxy
    """The line of all processes to Postgres. Tests look at the database past it."""
    mortal: Mortal
    declared: float

    @property
    def rabbitmq(self) -> PrivateRabbitMQ:
        assert isinstance(self.servers.rabbitmq, PrivateRabbitMQ)
        return self.servers.rabbitmq

    @property
    def postgres(self) -> PrivateServer:
        assert self.servers.postgres is not None
        return self.servers.postgres

    async def load(self, tenant: Tenant, count: int = 8) -> list[LeadRequested]:
        """So many requests, some of which are under way when this returns."""
        requests = [lead_request(tenant, leads=1 + number % 3) for number in range(count)]
        await self.system.upstream.ask(*requests)
        some = "SELECT count(*) > 1 FROM effects WHERE tenant_id = $1"
        await self.system.until_sql(some, tenant.tenant_id)
        return requests

    async def works_again(self, tenant: Tenant) -> None:
        """Every process is ready and a fresh request is completed, within the time that they have for it."""
        async with asyncio.timeout(BACK_SECONDS):
            await self.completed([await self.ask(tenant)])
            await asyncio.gather(*(self.until_ready(name) for name in self.system.processes))

    async def ask(self, tenant: Tenant) -> LeadRequested:
        """Again and again until the broker has it, as upstream services do."""
        request = lead_request(tenant)
        while True:
            try:
                await asyncio.wait_for(self.system.upstream.ask(request), 1)
            except Exception:  # noqa: BLE001 - the broker has just come back
                await asyncio.sleep(0.1)
            else:
                return request

    async def ready(self, name: str) -> bool:
        try:
            async with httpx2.AsyncClient(timeout=PATIENCE) as http:
                return (await http.get(f"http://127.0.0.1:{self.system.ports[name]}/ready")).is_success
        except httpx2.TransportError:
            return False

    async def until_ready(self, name: str, *, be: bool = True) -> None:
        """Returns when it says that it is ready, or that it is not."""

        async def says() -> bool:
            return await self.ready(name) is be

        await until(says, PATIENCE)

    async def until_none_is_ready(self) -> None:
        await asyncio.gather(*(self.until_ready(name, be=False) for name in self.system.processes))

    async def completed(self, requests: Sequence[LeadRequested]) -> None:
        outcomes = [await self.system.upstream.outcome(request) for request in requests]
        assert {"completed"} >= {outcome.event for outcome in outcomes}

    async def all_is_well(self, requests: Sequence[LeadRequested]) -> None:
        """These are completed, nothing is lost or doubled anywhere, and nothing was given up."""
        await self.completed(requests)
        broken = await verdict(self.mortal)
        assert not broken, "\n".join(broken)
        assert 0 == await self.system.sql.fetchval("SELECT count(*) FROM dead_letters")

    async def administer(self, *statements: str) -> None:
        """Told to the server, from another database; `{database}` is the system's own."""
        database = urlsplit(self.mortal.database_url).path.removeprefix("/")
        connection = await asyncpg.connect(self.servers.database_url)
        try:
            for statement in statements:
                await connection.execute(statement.format(database=database))
        finally:
            await connection.close()

    async def killed_broker_remembers(self) -> None:
        """Returns when queues survive a SIGKILL."""

        async def old() -> bool:
            return time.monotonic() - self.declared > REMEMBERED

        await until(old, 2 * REMEMBERED)


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
            "LEADSAGA_ENGINE_URL": await _login(database_url, database.url, "leadsaga_engine"),
            "LEADSAGA_STEPS_URL": await _login(database_url, database.url, "leadsaga_steps"),
            **(settings or {}),
        }
        sandbox = directory / "sandbox"
        system = await enter(
            running_system(
                *(database_url, servers.amqp_url, "", await enter(running_sandbox(sandbox)), directory),
                apart=apart,
                lasting=True,
                settings=given,
                make_children=partial(ForkedChildren, zygote=await enter(zygote())),
            )
        )
        mortal = Mortal(system, database_url, sandbox)
        yield Breakable(system, servers, broker, database, mortal, time.monotonic())


async def _login(database_url: str, url: str, role: str) -> str:
    """`url` for a role that logs in itself: nobody else uses these servers."""
    password = secrets.token_hex(8)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{password}'")
    finally:
        await connection.close()
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}"))
