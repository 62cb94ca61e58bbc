"""The same request again, other content under its id, and cancelling: nothing happens twice."""

import pytest

from contracts.events import LeadsReady
from contracts.requests import LeadRequested
from tests.kit.asking import cancel_of, delivered, lead_request, refund_of
from tests.kit.outsider import names_of
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]

SLOW = 1.5
"""Seconds that the model takes to answer: long enough to ask for something else meanwhile."""


async def test_the_same_request_again_is_answered_by_the_same_events_and_billed_once(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=4)
    await delivered(system, request)

    await system.upstream.ask(request)
    again = await system.upstream.outcome(request, "completed", times=2)

    assert (await system.upstream.outcome(request, "completed")).event_id == again.event_id
    leads = await system.upstream.wait_for(
        lambda event: event.request_id == request.request_id and isinstance(event, LeadsReady), times=2
    )
    assert [leads] == system.upstream.leads_of(tenant.tenant_id, request.request_id)
    assert 1 == await system.sql.fetchval("SELECT count(*) FROM sagas WHERE tenant_id = $1", tenant.tenant_id)
    await system.until_settled(tenant)
    assert (4, 4) == (await system.ledger(tenant), await system.told_stripe(tenant))


async def test_the_same_request_again_while_it_runs_attaches_to_its_saga(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant)

    await system.upstream.ask(request, request, request)
    await system.upstream.outcome(request, "completed")
    third = await system.upstream.outcome(request, "accepted", times=3)

    assert third.event_id == (await system.upstream.outcome(request, "accepted")).event_id
    assert 1 == await system.sql.fetchval("SELECT count(*) FROM sagas WHERE tenant_id = $1", tenant.tenant_id)
    assert 3 == await system.ledger(tenant)


async def test_a_request_id_with_other_content_is_refused_and_the_first_request_is_untouched(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=2)

    await system.upstream.ask(request)
    await system.upstream.outcome(request, "accepted")
    await system.upstream.ask(request.model_copy(update={"leads": 3}))
    refused = await system.upstream.outcome(request, "refused")
    completed = await system.upstream.outcome(request, "completed")

    assert "request_id was used before with other content" == refused.reason
    assert 2 == completed.delivered
    assert 2 == await system.ledger(tenant)


async def test_a_failed_request_asked_again_is_answered_by_the_same_failure(system: RunningSystem) -> None:
    tenant = await system.tenant(quota=1)
    request = lead_request(tenant, leads=2)
    await system.upstream.ask(request)
    failed = await system.upstream.outcome(request, "failed")

    await system.upstream.ask(request)

    again = await system.upstream.outcome(request, "failed", times=2)
    assert (failed.event_id, failed.reason) == (again.event_id, again.reason)


async def test_cancelling_before_delivery_fails_the_request_and_costs_nothing(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = await _generating(system, tenant)

    await system.upstream.ask(cancel_of(request))
    failed = await system.upstream.outcome(request)

    assert ("failed", "cancelled: no longer needed") == (failed.event, failed.reason)
    assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))
    assert 0 == await system.visible_leads(tenant)


async def test_cancelling_after_delivery_is_refused_and_changes_nothing(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant)
    await delivered(system, request)

    await system.upstream.ask(cancel_of(request))
    refused = await system.upstream.outcome(request, "refused")

    assert "the leads are delivered already; ask for a refund instead" == refused.reason
    assert 3 == await system.ledger(tenant)


async def test_cancelling_what_was_never_asked_for_is_refused(system: RunningSystem) -> None:
    request = lead_request(await system.tenant())

    await system.upstream.ask(cancel_of(request))

    refused = await system.upstream.outcome(request)
    assert ("refused", "there is no such request") == (refused.event, refused.reason)


async def test_a_refund_asked_before_delivery_is_a_cancel(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = await _generating(system, tenant)

    await system.upstream.ask(refund_of(request))
    failed = await system.upstream.outcome(request)

    reason = "cancelled: refund asked before delivery: some of the companies have closed"
    assert ("failed", reason) == (failed.event, failed.reason)
    assert ["accepted", "failed"] == names_of(system.upstream.of(tenant.tenant_id, request.request_id))
    assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))


async def _generating(system: RunningSystem, tenant: Tenant) -> LeadRequested:
    """A request whose saga waits for the model."""
    request = lead_request(tenant)
    await system.sandbox.fault("anthropic.messages", match=request.request_id, delay_seconds=SLOW)
    await system.upstream.ask(request)
    await system.until_sql(
        "SELECT count(*) > 0 FROM effects WHERE tenant_id = $1 AND step = 'generate_leads'", tenant.tenant_id
    )
    return request
