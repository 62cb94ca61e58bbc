"""Tenants with sagas, usage and notices on a real Postgres, seen through the role of the steps."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command, Reply
from contracts.process.postgres import Database, connect
from contracts.process.settings import PoolSettings
from steps.billing.due import note_usage
from steps.billing.settings import RETRY, Pace
from steps.runtime.batch import run_batch
from steps.runtime.effects_postgres import PostgresMemory
from steps.runtime.step import Batch, Step
from tests.kit.roles import as_role

PACE = Pace(interval=60.0, leads=100, retry=RETRY)
METER = "leads_delivered"


@dataclass
class TenantsAtWork:
    database: Database
    admin: Any
    """A superuser's connection: it sees everything and may turn the clock."""

    @property
    def memory(self) -> PostgresMemory:
        return PostgresMemory(self.database)

    async def tenant(self, tenant_id: str, customer: str | None = "", webhook: str | None = None) -> str:
        """The default customer is `cus_<tenant>`."""
        await self.admin.execute(
            "INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota)"
            " VALUES ('basic', 0.5, 'eur', 1000) ON CONFLICT DO NOTHING"
        )
        await self.admin.execute(
            "INSERT INTO tenants (tenant_id, name, plan_id, stripe_customer) VALUES ($1, $1, 'basic', $2)",
            tenant_id,
            f"cus_{tenant_id}" if customer == "" else customer,
        )
        if webhook is not None:
            await self.admin.execute(
                "INSERT INTO discord_webhooks (tenant_id, url) VALUES ($1, $2)", tenant_id, webhook
            )
        return tenant_id

    async def saga(self, tenant_id: str, name: str = "lead") -> UUID:
        saga_id = uuid4()
        await self.admin.execute(
            "INSERT INTO sagas (tenant_id, saga_id, saga, version, request_id, request, status, state,"
            " entries) VALUES ($1, $2, $3, 1, $4, '{}', 'running', '{}', 1)",
            tenant_id,
            saga_id,
            name,
            f"r-{saga_id}",
        )
        return saga_id

    async def usage(self, tenant_id: str, leads: int, *, period: datetime | None = None) -> Command:
        """Delivered leads enter the ledger; the command is the one that asks to report them."""
        saga_id, ledger_id = await self.saga(tenant_id), uuid4()
        async with self.database.transaction(tenant_id) as connection:
            await connection.execute(
                "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price,"
                " currency, event_name, period_start) SELECT $1, $2, $3, $4, 'usage', $5, 0.5, 'eur', $6,"
                " coalesce($7, period_start(billing_anchor, now())) FROM tenants WHERE tenant_id = $1",
                tenant_id, ledger_id, saga_id, f"r-{saga_id}", leads, METER, period,
            )  # fmt: skip
            await note_usage(connection, tenant_id, leads, PACE)
        fact = UsageRecorded(leads=leads, ledger_id=ledger_id)
        return _command("report_to_stripe", "lead", tenant_id, saga_id, fact)

    async def reversal(self, usage: Command, leads: int) -> Command:
        """Leads of a reported usage are given back; the command is the one that asks to tell Stripe."""
        tenant_id, original = usage.tenant_id, usage.fact(UsageRecorded).ledger_id
        saga_id, ledger_id = await self.saga(tenant_id, "refund"), uuid4()
        async with self.database.transaction(tenant_id) as connection:
            await connection.execute(
                "INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, original_id,"
                " unit_price, currency, event_name, period_start)"
                " SELECT $1, $2, $3, request_id, 'reversal', $4, ledger_id, unit_price, currency, event_name,"
                " period_start FROM ledger WHERE tenant_id = $1 AND ledger_id = $5",
                tenant_id, ledger_id, saga_id, -leads, original,
            )  # fmt: skip
            await note_usage(connection, tenant_id, leads, PACE)
        fact = UsageRefunded(leads=leads, ledger_id=ledger_id, original_id=original)
        return _command("refund_at_stripe", "refund", tenant_id, saga_id, fact)

    async def take(self, step: Step, *commands: Command) -> Sequence[Reply]:
        """The runtime takes commands of the step, and says what it would publish."""
        assert isinstance(step.do, Batch)
        return (await run_batch(self.memory, step.do, commands, fresh=True)).replies

    async def hurry(self) -> None:
        """All waiting is over: due times, back-offs and the leases of processes that are gone."""
        await self.admin.execute("UPDATE work_due SET due_at = now()")
        open_ = "state IN ('pending', 'sending', 'ambiguous')"
        await self.admin.execute(f"UPDATE intents SET retry_at = now() WHERE {open_}")
        await self.admin.execute("UPDATE credits SET retry_at = now() WHERE retry_at IS NOT NULL")
        await self.admin.execute("UPDATE notices SET retry_at = now() WHERE retry_at IS NOT NULL")

    async def a_day_passes(self) -> None:
        """For doubtful sends, and for what was seen of Stripe's totals."""
        await self.admin.execute(
            "UPDATE intents SET first_sent_at = first_sent_at - interval '25 hours',"
            " absence_observed_at = absence_observed_at - interval '25 hours'"
            " WHERE state IN ('sending', 'ambiguous')"
        )
        await self.hurry()

    async def period_turned(self, tenant_id: str, ago: timedelta) -> datetime:
        """The tenant's billing periods turn at another moment, and so its usage moves with them."""
        turn: datetime = await self.admin.fetchval(
            "UPDATE tenants SET billing_anchor = date_trunc('second', now() - $2::interval)"
            " WHERE tenant_id = $1 RETURNING billing_anchor",
            tenant_id,
            ago,
        )
        return turn

    async def period_before(self, tenant_id: str) -> datetime:
        """Start of the billing period before the current one."""
        query = "SELECT period_begin(billing_anchor, -1) FROM tenants WHERE tenant_id = $1"
        found: datetime = await self.admin.fetchval(query, tenant_id)
        return found

    async def net(self, tenant_id: str) -> int:
        query = "SELECT coalesce(sum(leads), 0)::int FROM ledger WHERE tenant_id = $1"
        return int(await self.admin.fetchval(query, tenant_id))

    async def states(self, table: str, tenant_id: str) -> list[str]:
        """Of a tenant's intents or notices, in the order they were made."""
        rows = await self.admin.fetch(
            f"SELECT state FROM {table} WHERE tenant_id = $1 ORDER BY created_at", tenant_id
        )
        return [row["state"] for row in rows]

    async def due_in(self, tenant_id: str) -> float | None:
        """Seconds until the tenant is visited again; None when nothing is left to do."""
        query = (
            "SELECT extract(epoch FROM due_at - now())::float8 FROM work_due"
            " WHERE tenant_id = $1 AND kind <> 'reconcile'"
        )
        found: float | None = await self.admin.fetchval(query, tenant_id)
        return found


def again(command: Command, attempt: int) -> Command:
    return command.model_copy(update={"attempt": attempt})


def _command(step: str, saga: str, tenant_id: str, saga_id: UUID, fact: Any) -> Command:
    return Command(
        tenant_id=tenant_id,
        saga_id=saga_id,
        saga=saga,
        request_id=f"r-{saga_id}",
        step=step,
        direction="do",
        attempt=1,
        last=False,
        timeout=10,
        request={},
        facts={fact.STEP: fact.model_dump(mode="json")},
    )


@asynccontextmanager
async def tenants_at_work(database_url: str) -> AsyncIterator[TenantsAtWork]:
    steps_url = as_role(database_url, "leadsaga_steps")
    admin = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        async with connect(steps_url, PoolSettings(pool_size=8), name="test") as database:
            yield TenantsAtWork(database, admin)
    finally:
        await admin.close()
