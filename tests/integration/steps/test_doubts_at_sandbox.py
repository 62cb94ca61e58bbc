"""A lost answer, over real HTTP, and a Stripe whose memory ends after a day."""

from collections.abc import AsyncIterator

import pytest

from deploy.sandbox.client import SandboxAdmin
from steps.billing.flush import flush_tenant
from steps.clients.stripe import Billing, StripeSettings, open_stripe
from tests.kit.stand_ins import FakeWorker
from tests.kit.tenants_at_work import METER, TenantsAtWork

DAY = 25 * 3600


@pytest.fixture
async def billing(sandbox: str) -> AsyncIterator[Billing]:
    settings = StripeSettings(stripe_api_key=None, stripe_base_url=f"{sandbox}/stripe")
    async with open_stripe(settings) as billing:
        yield billing


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_what_was_delivered_is_counted_once_though_nobody_remembers_it(
    world: TenantsAtWork, billing: Billing, admin: SandboxAdmin, drop: str
) -> None:
    await billing.ensure_meter(METER)
    customer = await billing.create_customer("Acme", "acme")
    await world.tenant("acme", customer=customer)
    worker = FakeWorker(world.database, billing)
    await world.usage("acme", 3)
    await flush_tenant(worker, "acme")
    await world.usage("acme", 4)
    await admin.fault("stripe.meter_events", drop=drop, times=1)
    for day in range(1, 4):
        await flush_tenant(worker, "acme")
        await admin.settings(now_offset_seconds=day * DAY)
        await world.a_day_passes()

    (total,) = await admin.usage()
    assert (7, 2) == (total["total"], total["events"])
    assert await world.due_in("acme") is None
    gone = await world.admin.fetchval("SELECT count(*) FROM intents WHERE state = 'missing'")
    assert int(drop == "before") == gone
