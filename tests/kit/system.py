"""The whole system as real processes: orchestrator, steps and sandbox, on a database and queues of a test."""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import asyncpg
import httpx2

from contracts.names import Names
from deploy.local.children import Children
from deploy.local.vendors import Vendors
from deploy.sandbox.client import SandboxAdmin
from steps import catalogue
from steps.clients.stripe import Billing, StripeSettings, open_stripe
from tests.kit.outsider import PATIENCE, Outsider, speaking
from tests.kit.roles import as_role
from tests.kit.sandbox import free_port, until
from tests.kit.webhooks import SECOND_KEY, SECRETS_KEY

TIME_SCALE = 0.05
MODEL_CALL_SECONDS = 2.0
"""An attempt begins no call with less than a second left."""
FLUSH_INTERVAL = 10.0
"""Seconds before scaling."""
METER = "leads_delivered"
PRICE = Decimal("0.45")
REPOSITORY = Path(__file__).parents[2]
UNKNOWN_CUSTOMER = "cus_0123456789ABCDEF"
WEBHOOK_TOKEN = "only-for-the-sandbox"


@dataclass(frozen=True, slots=True)
class Tenant:
    tenant_id: str
    customer: str
    webhook: str
    """Id of its webhook at the sandbox."""


@dataclass(slots=True)
class RunningSystem:
    children: Children
    ports: Mapping[str, int]
    names: Names
    upstream: Outsider
    sandbox: SandboxAdmin
    sandbox_url: str
    billing: Billing
    sql: "asyncpg.Pool[asyncpg.Record]"
    """Of a superuser: row-level security does not apply."""

    @property
    def processes(self) -> list[str]:
        return list(self.ports)

    async def tenant(
        self,
        *,
        quota: int = 1000,
        status: Literal["active", "suspended"] = "active",
        known_to_stripe: bool = True,
    ) -> Tenant:
        """A new one with a plan, a webhook and, unless `known_to_stripe` says no, a customer of its own."""
        tenant_id = f"t-{secrets.token_hex(4)}"
        customer = UNKNOWN_CUSTOMER
        if known_to_stripe:
            customer = await self.billing.create_customer(tenant_id, tenant_id)
        webhook = str(secrets.randbelow(10**18) + 10**17)
        await self.sandbox.register_webhook(webhook, WEBHOOK_TOKEN)
        url = f"{self.sandbox_url}/discord/api/webhooks/{webhook}/{WEBHOOK_TOKEN}"
        async with self.sql.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, event_name)"
                " VALUES ($1, $2, 'eur', $3, $4)",
                *(tenant_id, PRICE, quota, METER),
            )
            await connection.execute(
                "INSERT INTO tenants (tenant_id, name, status, plan_id, stripe_customer)"
                " VALUES ($1, $1, $2, $1, $3)",
                *(tenant_id, status, customer),
            )
            await connection.execute("INSERT INTO discord_webhooks VALUES ($1, $2)", tenant_id, url)
        return Tenant(tenant_id, customer, webhook)

    async def saga_of(self, tenant: Tenant, request_id: str, saga: str = "lead") -> UUID:
        found: UUID = await self.sql.fetchval(
            "SELECT saga_id FROM requests WHERE tenant_id = $1 AND saga = $2 AND request_id = $3",
            *(tenant.tenant_id, saga, request_id),
        )
        return found

    async def ledger(self, tenant: Tenant) -> int:
        """Leads billed less leads given back."""
        query = "SELECT coalesce(sum(leads), 0)::int FROM ledger WHERE tenant_id = $1"
        return int(await self.sql.fetchval(query, tenant.tenant_id))

    async def told_stripe(self, tenant: Tenant) -> int:
        """Net of all meter events that took effect at the sandbox."""
        return sum(row["total"] for row in await self.sandbox.usage() if row["customer"] == tenant.customer)

    async def visible_leads(self, tenant: Tenant) -> int:
        query = "SELECT count(*) FROM leads WHERE tenant_id = $1 AND visible_at IS NOT NULL"
        return int(await self.sql.fetchval(query, tenant.tenant_id))

    async def held(self, tenant: Tenant) -> int:
        """Leads of the quota that are promised to live sagas."""
        query = "SELECT coalesce(sum(held), 0)::int FROM quota_periods WHERE tenant_id = $1"
        return int(await self.sql.fetchval(query, tenant.tenant_id))

    async def until_settled(self, tenant: Tenant) -> None:
        """Returns when Stripe was told what the ledger says."""

        async def settled() -> bool:
            return await self.told_stripe(tenant) == await self.ledger(tenant)

        await until(settled, PATIENCE)

    async def until_sql(self, condition: str, *arguments: Any) -> None:
        """Returns when a query says true."""

        async def holds() -> bool:
            return bool(await self.sql.fetchval(condition, *arguments))

        await until(holds, PATIENCE)

    async def dead_letters(self, fragment: bytes) -> list[dict[str, Any]]:
        """Those whose message contains `fragment`, oldest first."""
        query = "SELECT * FROM dead_letters WHERE position($1 IN message) > 0 ORDER BY first_at, message_id"
        return [dict(row) for row in await self.sql.fetch(query, fragment)]

    async def until_buried(self, fragment: bytes) -> dict[str, Any]:
        """The first dead letter whose message contains `fragment`."""

        async def there() -> bool:
            return bool(await self.dead_letters(fragment))

        await until(there, PATIENCE)
        return (await self.dead_letters(fragment))[0]

    async def metric(self, process: str, sample: str) -> float:
        """The value of one sample, named as it is exposed, labels included; 0 if it was never counted."""
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{self.ports[process]}/metrics")).text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    async def until_metric(self, process: str, sample: str, value: float) -> None:
        async def reached() -> bool:
            return await self.metric(process, sample) >= value

        await until(reached, PATIENCE)

    def said(self, process: str) -> str:
        """Its log so far."""
        console = self.children.programs[process].console
        return console.read_text(encoding="utf-8", errors="replace")

    async def kill(self, process: str) -> None:
        """SIGKILL; gone when this returns."""
        await self.children.kill(process)

    async def restart(self, process: str) -> None:
        """Ready when this returns."""
        self.children.restart(process)
        await self.ready(process)

    async def ready(self, *processes: str) -> None:
        await asyncio.gather(
            *(self.children.answers(name, f"http://127.0.0.1:{self.ports[name]}/ready") for name in processes)
        )


@asynccontextmanager
async def running_system(
    database_url: str,
    amqp_url: str,
    queue_prefix: str,
    sandbox_url: str,
    directory: Path,
    *,
    apart: bool = False,
    lasting: bool = False,
    settings: Mapping[str, str] | None = None,
    make_children: Callable[[Path, Path, Mapping[str, str]], Children] = Children,
) -> AsyncIterator[RunningSystem]:
    """Everything is ready. `apart`: each step is its own process, named like it; otherwise one process, named
    "steps", runs them all. `lasting`: the upstream side outlives the broker. `settings` are added to the
    environment of all processes. `make_children`: to fork them from a zygote instead."""
    environment = {**environment_of(database_url, amqp_url, queue_prefix, sandbox_url), **(settings or {})}
    children = make_children(directory, REPOSITORY, environment)
    arguments = {name: ["-m", "steps", name] for name in catalogue.names()}
    programs = {
        "orchestrator": ["-m", "orchestrator", "run", "orchestrator"],
        **(arguments if apart else {"steps": ["-m", "steps", "--all"]}),
    }
    ports = {name: free_port() for name in programs}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(children.stop)
        for name, program in programs.items():
            children.start(name, program, ports[name])
        pool = asyncpg.create_pool(
            database_url, min_size=1, max_size=2, server_settings={"search_path": "leadsaga"}
        )
        system = RunningSystem(
            children=children,
            ports=ports,
            names=Names(queue_prefix),
            upstream=await stack.enter_async_context(
                speaking(amqp_url, Names(queue_prefix), lasting=lasting)
            ),
            sandbox=await stack.enter_async_context(SandboxAdmin(sandbox_url)),
            sandbox_url=sandbox_url,
            billing=await stack.enter_async_context(
                open_stripe(StripeSettings(stripe_base_url=f"{sandbox_url}/stripe"))
            ),
            sql=await stack.enter_async_context(pool),
        )
        await system.ready(*programs)
        await system.billing.ensure_meter(METER)
        yield system


def environment_of(database_url: str, amqp_url: str, queue_prefix: str, sandbox_url: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        # Coverage is not measured in whole systems: their processes are killed.
        if not name.startswith(("LEADSAGA_", "COV")) and not name.endswith("_API_KEY")
    }
    return {
        **inherited,
        **Vendors(anthropic_real=False, stripe_real=False).settings(sandbox_url, TIME_SCALE),
        "LEADSAGA_MODEL_CALL_TIMEOUT": f"{MODEL_CALL_SECONDS:g}",
        "LEADSAGA_FLUSH_INTERVAL": f"{FLUSH_INTERVAL:g}",
        "LEADSAGA_TIME_SCALE": f"{TIME_SCALE:g}",
        "LEADSAGA_AMQP_URL": amqp_url,
        "LEADSAGA_QUEUE_PREFIX": queue_prefix,
        "LEADSAGA_ENGINE_URL": as_role(database_url, "leadsaga_engine"),
        "LEADSAGA_STEPS_URL": as_role(database_url, "leadsaga_steps"),
        "LEADSAGA_OPERATOR_URL": as_role(database_url, "leadsaga_operator"),
        "LEADSAGA_SECRETS_KEY": SECRETS_KEY,
        "LEADSAGA_SECRETS_SECOND_KEY": SECOND_KEY,
    }
