"""Delivered usage on a real Postgres, a Stripe that can be tampered with, and what reconciling them finds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.messages import Command
from steps.billing.flush import flush_tenant
from steps.billing.reconcile import reconcile_tenant
from steps.clients.billing import Invoice
from steps.report_to_stripe import STEP as REPORT
from tests.kit.ledger import Ledger
from tests.kit.stand_ins import FakeStripe, FakeWorker
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

DAYS_IN = timedelta(days=10, hours=3)
"""So far a billing period has come: nothing here reaches back into the one before."""

_EARLIER = """
UPDATE intents SET settled_at = settled_at - $1::interval, event_at = event_at - $1::interval,
    created_at = created_at - $1::interval, first_sent_at = first_sent_at - $1::interval
"""


@dataclass
class CountingStripe(FakeStripe):
    """It also bills."""

    invoices: list[Invoice] = field(default_factory=list)
    away: Exception | None = None
    before_total: Any = None
    """Awaited once, just before a total is told."""

    async def event_summary(self, meter: str, customer: str, start: datetime, end: datetime) -> int:
        if self.away is not None:
            raise self.away
        if self.before_total is not None:
            happens, self.before_total = self.before_total, None
            await happens()
        return await super().event_summary(meter, customer, start, end)

    async def invoice_of(self, customer: str, event_name: str, at: datetime) -> Invoice | None:
        return next((each for each in self.invoices if each.start <= at < each.end), None)

    def lose(self, value: int) -> None:
        """An event that was taken is not counted: lost, or refused after it was taken."""
        (key,) = [key for key, event in self.taken.items() if event["value"] == value]
        del self.taken[key]

    def count_again(self, value: int) -> None:
        (event,) = [event for event in self.taken.values() if event["value"] == value]
        self.forgotten.append(dict(event))

    def earlier(self, by: timedelta) -> None:
        for event in (*self.taken.values(), *self.forgotten):
            event["at"] -= by


@dataclass
class Books:
    world: TenantsAtWork
    stripe: CountingStripe
    worker: FakeWorker

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.world)

    async def sold(self, leads: int) -> Command:
        """Delivered, recorded and reported; a saga of its own send."""
        command = await self.delivered(leads)
        await self.flush()
        return command

    async def delivered(self, leads: int) -> Command:
        command = await self.ledger.delivered(leads)
        await self.world.take(REPORT, command.model_copy(update={"step": "report_to_stripe"}))
        return command

    async def flush(self) -> None:
        await flush_tenant(self.worker, "acme")

    async def time_passes(self, by: timedelta = timedelta(hours=1)) -> None:
        """For what was sent, here and at Stripe."""
        await self.world.admin.execute(_EARLIER, by)
        self.stripe.earlier(by)

    async def reconcile(self) -> list[tuple[Any, ...]]:
        """Kind, expected, found and sagas of what is open afterwards."""
        await self.world.admin.execute(
            "UPDATE work_due SET due_at = now() + interval '10 minutes' WHERE kind = 'reconcile'"
        )
        await reconcile_tenant(self.worker, "acme")
        rows = await self.world.admin.fetch(
            "SELECT kind, expected, found, sagas FROM findings WHERE resolved_at IS NULL"
            " ORDER BY kind, subject"
        )
        return [(row["kind"], row["expected"], row["found"], list(row["sagas"])) for row in rows]

    async def page(self) -> dict[str, Any]:
        (row,) = await self.world.admin.fetch("SELECT * FROM reconciliations")
        return dict(row)

    async def by_hand(self, *statements: str) -> None:
        """As somebody whom neither triggers nor references stop."""
        async with self.world.admin.transaction():
            await self.world.admin.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await self.world.admin.execute(statement)

    async def invoiced(
        self, quantity: int, amount: int, *, status: str = "open", currency: str = "eur"
    ) -> None:
        """The invoice of the period in which something was sold."""
        row = await self.world.admin.fetchrow(
            "SELECT min(l.period_start) AS start, period_end(t.billing_anchor, min(l.period_start)) AS end"
            " FROM ledger l JOIN tenants t USING (tenant_id) GROUP BY t.billing_anchor"
        )
        self.stripe.invoices.append(
            Invoice(
                invoice="in_1", line="il_1", status=status, start=row["start"], end=row["end"],
                quantity=quantity, amount=amount, tax=0, currency=currency,
            )
        )  # fmt: skip

    async def period_ends(self) -> None:
        """What was sold was sold in the period before this one."""
        await self.world.admin.execute(
            "UPDATE tenants SET billing_anchor = billing_anchor - interval '31 days'"
        )
        await self.by_hand(
            "UPDATE ledger SET period_start = period_start - interval '31 days'",
            "UPDATE intents SET period_start = period_start - interval '31 days'",
        )
        await self.time_passes(timedelta(days=31))


@asynccontextmanager
async def books(database_url: str) -> AsyncIterator[Books]:
    """Of the tenant acme, some days into its billing period."""
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        await world.period_turned("acme", DAYS_IN)
        stripe = CountingStripe()
        yield Books(world, stripe, FakeWorker(world.database, stripe))
