"""A tenant's account at Stripe: the customer, and its subscription to what its plan costs.

Sources: docs.stripe.com, "Idempotent requests" (a key is remembered for 24 h, a stored 5xx with it), "Search"
(not for what was just written: lists are), "Delete a customer" (ends its subscriptions at once).
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from contracts.errors import StepRejected
from contracts.process import crash
from steps.clients.billing import UsageUnknown
from steps.clients.stripe import Billing, StripeSettings, asked, every, open_stripe

T = TypeVar("T")

REFERENCE = "leadsaga_saga"
"""The saga that made a customer, in its metadata."""

CLOCKS = timedelta(hours=1)
"""By which Stripe's clock and the database's may differ, amply."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Every method raises StepTransient (surely nothing happened), StepUnknown or StepRejected."""

    billing: Billing

    async def open_customer(
        self, saga_id: UUID, *, tenant_id: str, name: str, since: datetime, keys: int
    ) -> str:
        """The id of the one customer of this saga, which began after `since`: found, or made now.

        What an earlier try made is found by its metadata; what an earlier try may still have under way is the
        same customer, by its key. Only a failure that Stripe has stored under a key needs the next one, of
        `keys` at most.
        """
        made = await self.customers_of(saga_id, since)
        if made:
            return made[0]
        for number in range(1, keys):
            try:
                return await self._create(saga_id, tenant_id, name, number)
            except UsageUnknown as error:
                if not error.stored:
                    raise
        return await self._create(saga_id, tenant_id, name, keys)

    async def customers_of(self, saga_id: UUID, since: datetime) -> list[str]:
        """Those that this saga made and that are not deleted, oldest first."""
        since -= CLOCKS
        found: list[Any] = await managed(
            every(
                self.billing.sdk.v1.customers.list_async(
                    {"created": {"gte": int(since.timestamp())}, "limit": 100}
                )
            )
        )
        return [each.id for each in reversed(found) if _reference(each) == str(saga_id)]

    async def _create(self, saga_id: UUID, tenant_id: str, name: str, number: int) -> str:
        key = f"leadsaga-customer-{saga_id}-{number}"
        metadata = {"tenant_id": tenant_id, REFERENCE: str(saga_id)}
        made = await managed(
            asked(
                self.billing.sdk.v1.customers.create_async(
                    {"name": name, "metadata": metadata}, {"idempotency_key": key}
                )
            )
        )
        return made.id

    async def subscribe(self, customer: str, price: str, *, start: datetime) -> str:
        """The id of the customer's subscription to the price, there or made now."""
        return await managed(self.billing.ensure_subscription(customer, price, start=start))

    async def price_of(self, plan_id: str, *, event_name: str, price_per_lead: Decimal, currency: str) -> str:
        """The id of the monthly price, there or made now. Of the plan, so it stays whatever becomes of a
        tenant."""
        meter = await managed(self.billing.ensure_meter(event_name))
        pricing = self.billing.ensure_price(
            plan_id, meter=meter, price_per_lead=price_per_lead, currency=currency
        )
        return await managed(pricing)

    async def close_customer(self, customer: str) -> None:
        """Ends its subscriptions, too. Happy if it is gone already."""
        if await managed(self.billing.customer_exists(customer)):
            try:
                await managed(asked(self.billing.sdk.v1.customers.delete_async(customer)))
            except StepRejected:
                # Somebody else was faster, or it cannot be deleted: then this says so again.
                if await managed(self.billing.customer_exists(customer)):
                    raise


def _reference(customer: Any) -> str | None:
    return customer.metadata.to_dict().get(REFERENCE) if customer.metadata else None


async def managed(call: Awaitable[T]) -> T:
    """What a call brings, between crash points of its own. Raises as all of this client does."""
    async with crash.around("call.stripe_accounts", "answered"):
        return await call


@asynccontextmanager
async def open_accounts(settings: StripeSettings | None = None) -> AsyncIterator[Accounts]:
    """Raises BadSettings when there is neither a key nor a stand-in."""
    async with open_stripe(settings) as billing:
        yield Accounts(billing)
