"""A tenant whose usage Stripe refuses is flagged until Stripe takes some again; its leads stay delivered."""

import pytest

from contracts.errors import StepRejected, StepTransient
from steps.billing.flush import flush_tenant
from steps.report_to_stripe import STEP as REPORT
from tests.kit.stand_ins import FakeWorker
from tests.kit.tenants_at_work import TenantsAtWork, again

NO_CUSTOMER = StepRejected("No such customer: 'cus_acme'", error="resource_missing")


async def flags(world: TenantsAtWork) -> dict[str, str]:
    rows = await world.admin.fetch("SELECT tenant_id, reason FROM billing_flags")
    return {row["tenant_id"]: row["reason"] for row in rows}


async def refused(world: TenantsAtWork, worker: FakeWorker, error: Exception) -> None:
    worker.client.failures = [("before", error)]
    await flush_tenant(worker, "acme")


async def test_a_refusal_flags_its_tenant_and_gives_nothing_back(world, worker):
    for tenant_id in ("acme", "globex"):
        await world.tenant(tenant_id)
        await world.take(REPORT, await world.usage(tenant_id, 4))
    await refused(world, worker, NO_CUSTOMER)
    await flush_tenant(worker, "globex")

    assert {"acme": "resource_missing: No such customer: 'cus_acme'"} == await flags(world)
    assert ["rejected", "done"] == [reply.outcome.kind for reply in worker.replies]
    assert 4 == await world.net("acme")


async def test_the_flag_goes_when_stripe_takes_usage_again(world, worker):
    await world.tenant("acme")
    command = await world.usage("acme", 4)
    await world.take(REPORT, command)
    await refused(world, worker, NO_CUSTOMER)
    await world.take(REPORT, again(command, 2))
    await flush_tenant(worker, "acme")
    assert ({}, 4) == (await flags(world), worker.client.billed("cus_acme"))


async def test_a_tenant_without_a_customer_is_flagged(world, worker):
    await world.tenant("acme", customer=None)
    await world.usage("acme", 4)
    await flush_tenant(worker, "acme")
    assert {"acme": "the tenant has no Stripe customer"} == await flags(world)


@pytest.mark.parametrize(
    "error", [StepRejected("deactivated", error="archived_meter"), StepTransient("busy"), OSError("gone")]
)
async def test_what_is_not_the_tenants_fault_flags_nobody(world, worker, error):
    await world.tenant("acme")
    await world.usage("acme", 4)
    await refused(world, worker, error)
    assert {} == await flags(world)


async def test_a_second_refusal_tells_the_newest_reason_and_the_oldest_time(world, worker):
    await world.tenant("acme")
    await world.usage("acme", 4)
    await refused(world, worker, NO_CUSTOMER)
    await world.admin.execute("UPDATE billing_flags SET flagged_at = now() - interval '3 days'")
    await world.usage("acme", 2)
    await refused(world, worker, StepRejected("bad value", error="meter_event_invalid_value"))
    assert {"acme": "meter_event_invalid_value: bad value"} == await flags(world)
    assert await world.admin.fetchval("SELECT now() - flagged_at > interval '2 days' FROM billing_flags")
