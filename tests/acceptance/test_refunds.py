"""What was billed can be given back, once for each refund id and never more than was billed."""

import pytest

from contracts.requests import LeadRequested
from tests.kit.asking import delivered, lead_request, refund_of
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]


async def test_a_partial_refund_nets_out_at_stripe_and_returns_the_quota(system: RunningSystem) -> None:
    tenant, request = await _billed(system, 5)
    refund = refund_of(request, leads=2)

    await system.upstream.ask(refund)
    refunded = await system.upstream.outcome(refund)

    assert ("refunded", 2) == (refunded.event, refunded.leads)
    await system.until_settled(tenant)
    assert (3, 3) == (await system.ledger(tenant), await system.told_stripe(tenant))
    used = await system.sql.fetchval("SELECT used FROM quota_periods WHERE tenant_id = $1", tenant.tenant_id)
    assert 3 == used


async def test_the_same_refund_twice_is_given_once(system: RunningSystem) -> None:
    tenant, request = await _billed(system, 5)
    refund = refund_of(request, leads=2)

    await system.upstream.ask(refund, refund)
    refunded = await system.upstream.outcome(refund, "refunded")
    await system.upstream.ask(refund)

    again = await system.upstream.outcome(refund, "refunded", times=2)
    assert (refunded.event_id, refunded.leads) == (again.event_id, again.leads)
    await system.until_settled(tenant)
    assert (3, 3) == (await system.ledger(tenant), await system.told_stripe(tenant))


async def test_several_refunds_add_up_and_the_rest_is_what_is_left(system: RunningSystem) -> None:
    tenant, request = await _billed(system, 5)
    some, rest = refund_of(request, leads=2), refund_of(request)

    await system.upstream.ask(some)
    await system.upstream.outcome(some, "refunded")
    await system.upstream.ask(rest)
    refunded = await system.upstream.outcome(rest)

    assert ("refunded", 3) == (refunded.event, refunded.leads)
    await system.until_settled(tenant)
    assert (0, 0) == (await system.ledger(tenant), await system.told_stripe(tenant))


async def test_a_refund_of_more_than_was_billed_fails_with_a_reason(system: RunningSystem) -> None:
    tenant, request = await _billed(system, 3)
    refund = refund_of(request, leads=4)

    await system.upstream.ask(refund)
    failed = await system.upstream.outcome(refund)

    reason = "4 leads cannot be refunded: 3 were billed and 0 of them are refunded already"
    assert ("failed", reason) == (failed.event, failed.reason)
    assert 3 == await system.ledger(tenant)


async def test_a_refund_of_what_failed_or_never_was_is_refused(system: RunningSystem) -> None:
    tenant = await system.tenant(quota=1)
    failed, never = lead_request(tenant, leads=2), lead_request(tenant)
    await system.upstream.ask(failed)
    await system.upstream.outcome(failed, "failed")

    first, second = refund_of(failed), refund_of(never)
    await system.upstream.ask(first, second)

    refused = await system.upstream.outcome(first)
    assert "the request failed and nothing was charged for it" == refused.reason
    refused = await system.upstream.outcome(second)
    assert "there is no such request" == refused.reason


async def test_a_refund_id_with_other_content_is_refused(system: RunningSystem) -> None:
    tenant, request = await _billed(system, 5)
    refund = refund_of(request, leads=1)

    await system.upstream.ask(refund)
    await system.upstream.outcome(refund, "refunded")
    await system.upstream.ask(refund.model_copy(update={"leads": 2}))

    refused = await system.upstream.outcome(refund, "refused")
    assert "request_id was used before with other content" == refused.reason
    assert 4 == await system.ledger(tenant)


async def _billed(system: RunningSystem, leads: int) -> tuple[Tenant, LeadRequested]:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=leads)
    await delivered(system, request)
    return tenant, request
