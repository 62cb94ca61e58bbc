"""Over real HTTP: what is lost, doubled or dropped at Stripe is found, what it counts late is not, and an
invoice is held against the ledger to the cent."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deploy.sandbox.client import SandboxAdmin
from steps.billing.flush import flush_tenant
from steps.billing.reconcile import reconcile_tenant
from steps.clients.stripe import StripeSettings
from steps.clients.stripe_refunds import RefundingBilling, open_billing
from tests.kit.ledger import Ledger
from tests.kit.stand_ins import FakeWorker
from tests.kit.tenants_at_work import METER, TenantsAtWork, tenants_at_work

pytestmark = pytest.mark.services

HOUR = timedelta(hours=1)


@dataclass
class Shop:
    world: TenantsAtWork
    billing: RefundingBilling
    admin: SandboxAdmin
    worker: FakeWorker
    customer: str

    async def sold(self, leads: int) -> Any:
        command = await Ledger(self.world).delivered(leads)
        await flush_tenant(self.worker, "acme")
        return command.saga_id

    async def long_ago(self) -> None:
        """Stripe has had time to count what it has."""
        await self.world.admin.execute("UPDATE intents SET settled_at = settled_at - $1::interval", HOUR)

    async def period_is_over(self) -> None:
        """The tenant's own ended a moment ago, as that of its subscription did."""
        admin = self.world.admin
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "UPDATE tenants SET billing_anchor = date_trunc('second', now()) - interval '1 month'"
            " WHERE tenant_id = 'acme'"
        )
        for table in ("ledger", "intents"):
            await admin.execute(
                f"UPDATE {table} u SET period_start = billing_anchor FROM tenants t"
                " WHERE t.tenant_id = u.tenant_id"
            )

    async def identifier(self, leads: int) -> str:
        query = "SELECT identifier FROM intents WHERE value = $1"
        return str(await self.world.admin.fetchval(query, leads))

    async def found(self) -> list[tuple[Any, ...]]:
        await reconcile_tenant(self.worker, "acme")
        rows = await self.world.admin.fetch(
            "SELECT kind, expected, found, sagas FROM findings WHERE resolved_at IS NULL ORDER BY kind"
        )
        return [tuple(row) for row in rows]

    async def page(self) -> dict[str, Any]:
        return dict(await self.world.admin.fetchrow("SELECT * FROM reconciliations"))


@pytest.fixture
async def shop(database_url: str, sandbox: str, admin: SandboxAdmin) -> AsyncIterator[Shop]:
    settings = StripeSettings(stripe_api_key=None, stripe_base_url=f"{sandbox}/stripe")
    async with tenants_at_work(database_url) as world, open_billing(settings) as billing:
        meter = await billing.ensure_meter(METER)
        customer = await billing.create_customer("Acme", "acme")
        await world.tenant("acme", customer=customer)
        start = await world.period_turned("acme", timedelta(days=10))
        price = await billing.ensure_price(
            "basic", meter=meter, price_per_lead=Decimal("0.5"), currency="eur"
        )
        await billing.ensure_subscription(customer, price, start=start)
        yield Shop(world, billing, admin, FakeWorker(world.database, billing), customer)


async def test_usage_that_stripe_counts_is_clean(shop: Shop) -> None:
    await shop.sold(5)
    await shop.sold(3)
    assert [] == await shop.found()
    page = await shop.page()
    assert (8, 8, False) == (page["told"], page["counted"], page["behind"])


async def test_what_stripe_counts_late_is_lag_and_then_loss(shop: Shop) -> None:
    await shop.admin.settings(summaries_lag_seconds=600.0)
    saga = await shop.sold(5)
    assert [] == await shop.found()
    page = await shop.page()
    assert (0, True) == (page["counted"], page["behind"])
    await shop.long_ago()
    assert [("counted", 5, 0, [saga])] == await shop.found()
    await shop.admin.settings(summaries_lag_seconds=0.0)
    assert [] == await shop.found()


async def test_an_event_that_is_gone_at_stripe_is_found(shop: Shop) -> None:
    lost = await shop.sold(5)
    identifier = await shop.identifier(5)
    await shop.billing.sdk.v1.billing.meter_event_adjustments.create_async(
        {"event_name": METER, "type": "cancel", "cancel": {"identifier": identifier}}
    )
    await shop.long_ago()
    assert [("counted", 5, 0, [lost])] == await shop.found()


async def test_an_event_that_stripe_took_and_dropped_later_is_found(shop: Shop) -> None:
    await shop.admin.settings(stripe_unknown_customer="accept")
    await shop.world.admin.execute("UPDATE tenants SET stripe_customer = 'cus_typo'")
    dropped = await shop.sold(5)
    await shop.world.admin.execute("UPDATE tenants SET stripe_customer = $1", shop.customer)
    await shop.world.admin.execute("UPDATE intents SET customer = $1", shop.customer)
    await shop.long_ago()
    assert [("counted", 5, 0, [dropped])] == await shop.found()


async def test_an_event_that_was_sent_again_under_another_identifier_is_found(shop: Shop) -> None:
    doubled = await shop.sold(5)
    at = await shop.world.admin.fetchval("SELECT event_at FROM intents")
    await shop.billing.send_usage(
        identifier="another", customer=shop.customer, event_name=METER, value=5, at=at, idempotency_key="k"
    )
    assert [("counted", 5, 10, [doubled])] == await shop.found()


async def test_a_final_invoice_is_held_against_the_ledger(shop: Shop) -> None:
    saga = await shop.sold(5)
    sdk = shop.billing.sdk.v1
    invoice = await sdk.invoices.create_async({"customer": shop.customer})
    await sdk.invoices.finalize_invoice_async(invoice.id)
    await shop.period_is_over()
    assert [] == await shop.found()
    page = await shop.page()
    assert (5, 250, 250) == tuple(page[name] for name in ("invoiced", "charged", "owed"))
    await shop.world.admin.execute("UPDATE ledger SET unit_price = 0.502")
    assert [("charged", 251, 250, [saga])] == await shop.found()
