"""A tenant whose last billing period is over, at a Stripe that can be told what to do with its invoice."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import stripe

from contracts.messages import Command, Reply
from contracts.outcomes import Outcome
from deploy.sandbox.client import SandboxAdmin
from steps.billing.flush import flush_tenant
from steps.clients.stripe import StripeSettings
from steps.clients.stripe_refunds import RefundingBilling, open_billing
from steps.refund_at_stripe import STEP as REFUND
from steps.report_to_stripe import STEP as REPORT
from tests.kit.sandbox import stripe_client
from tests.kit.stand_ins import FakeWorker
from tests.kit.tenants_at_work import METER, TenantsAtWork, again

PRICE = Decimal("0.50")


@dataclass
class Interrupted:
    """A client that is the real one, but for what is to happen just before a call."""

    real: RefundingBilling
    before: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if name not in self.before:
            return found

        async def interrupted(*args: Any, **named: Any) -> Any:
            if meanwhile := self.before.pop(name, None):
                await meanwhile()
            return await found(*args, **named)

        return interrupted


@dataclass
class Till:
    world: TenantsAtWork
    client: Interrupted
    sdk: stripe.StripeClient
    admin: SandboxAdmin
    worker: FakeWorker
    customer: str
    period: datetime
    """Start of the period that is over."""

    async def sold(self, leads: int, *, period: datetime | None = None) -> Command:
        """Leads of the period that is over, which Stripe was told in time."""
        usage = await self.world.usage("acme", leads, period=period or self.period)
        await self.world.take(REPORT, usage)
        await self.flush()
        return usage

    async def refund(self, usage: Command, leads: int) -> Command:
        """Asked for, and not visited yet."""
        refund = await self.world.reversal(usage, leads)
        await self.world.take(REFUND, refund)
        return refund

    async def replay(self, refund: Command, attempt: int) -> None:
        await self.world.take(REFUND, again(refund, attempt))

    async def flush(self) -> None:
        await self.world.hurry()
        await flush_tenant(self.worker, "acme")

    async def refunded(self, usage: Command, leads: int) -> Outcome:
        refund = await self.refund(usage, leads)
        await self.flush()
        return self.answer(refund)

    def answers(self, of: Command) -> list[Reply]:
        return [reply for reply in self.worker.replies if reply.saga_id == of.saga_id]

    def answer(self, of: Command) -> Outcome:
        return self.answers(of)[-1].outcome

    async def outside(self, of: Command) -> dict[str, Any]:
        found = await self.world.admin.fetchval(
            "SELECT outside::text FROM effects WHERE saga_id = $1 AND step = 'refund_at_stripe'", of.saga_id
        )
        return dict(json.loads(found))

    async def draft(self) -> Any:
        return await self.sdk.v1.invoices.create_async({"customer": self.customer})

    async def final(self) -> Any:
        invoice = await self.draft()
        return await self.finalize(invoice.id)

    async def finalize(self, invoice: str) -> Any:
        return await self.sdk.v1.invoices.finalize_invoice_async(invoice)

    async def pay(self, invoice: str) -> Any:
        return await self.sdk.v1.invoices.pay_async(invoice)

    async def invoice(self, invoice: str) -> Any:
        return await self.sdk.v1.invoices.retrieve_async(invoice)

    async def notes(self) -> list[Any]:
        return list((await self.sdk.v1.credit_notes.list_async({"customer": self.customer})).data)

    async def balance(self) -> int:
        return (await self.sdk.v1.customers.retrieve_async(self.customer)).balance or 0

    async def told(self) -> int:
        """Net leads that the meter was told."""
        return sum(entry["total"] for entry in await self.admin.usage() if entry["customer"] == self.customer)


@asynccontextmanager
async def till(world: TenantsAtWork, admin: SandboxAdmin, base_url: str) -> AsyncIterator[Till]:
    """The tenant acme pays 50 cents a lead. Its billing period ended half an hour ago."""
    settings = StripeSettings(stripe_api_key=None, stripe_base_url=f"{base_url}/stripe")
    async with open_billing(settings) as billing, stripe_client(base_url) as sdk:
        meter = await billing.ensure_meter(METER)
        customer = await billing.create_customer("Acme", "acme")
        await world.tenant("acme", customer=customer)
        await world.period_turned("acme", timedelta(minutes=30))
        period = await world.period_before("acme")
        price = await billing.ensure_price("basic", meter=meter, price_per_lead=PRICE, currency="eur")
        await billing.ensure_subscription(customer, price, start=period)
        client = Interrupted(billing)
        yield Till(world, client, sdk, admin, FakeWorker(world.database, client), customer, period)
