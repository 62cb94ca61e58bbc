"""What upstream services are promised, on real processes, a real broker and a real database."""

import json

import pytest

from contracts.events import LEADS_PER_EVENT
from tests.kit.asking import delivered, lead_request
from tests.kit.outsider import names_of
from tests.kit.system import RunningSystem

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]


async def test_a_request_is_accepted_delivered_and_completed_in_this_order(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=3)

    await system.upstream.ask(request)
    completed = await system.upstream.outcome(request)

    heard = system.upstream.of(tenant.tenant_id, request.request_id)
    assert ["accepted", "leads_ready", "completed"] == names_of(heard)
    assert (3, 3) == (completed.requested, completed.delivered)
    await system.until_settled(tenant)
    assert 3 == await system.ledger(tenant)
    assert 3 == await system.visible_leads(tenant)
    assert 0 == await system.held(tenant)


async def test_many_leads_arrive_in_parts_that_add_up_to_what_is_billed(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=60)

    await delivered(system, request)

    parts = system.upstream.leads_of(tenant.tenant_id, request.request_id)
    assert [(1, 3), (2, 3), (3, 3)] == [(part.part, part.parts) for part in parts]
    assert all(len(part.leads) <= LEADS_PER_EVENT for part in parts)
    assert 60 == len({lead.lead_id for part in parts for lead in part.leads})
    assert [60, 60, 60] == [part.total for part in parts]
    await system.until_settled(tenant)
    assert 60 == await system.told_stripe(tenant)


async def test_over_quota_fails_with_a_readable_reason_and_costs_nothing(system: RunningSystem) -> None:
    tenant = await system.tenant(quota=10)
    request = lead_request(tenant, leads=11)

    await system.upstream.ask(request)
    failed = await system.upstream.outcome(request)

    assert "failed" == failed.event
    assert "over quota: 11 leads were asked for, 10 of 10 are left" in failed.reason
    assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))
    assert 0 == await system.told_stripe(tenant)
    await delivered(system, lead_request(tenant, leads=2))


async def test_a_model_that_never_answers_fails_the_request_and_leaves_nothing_behind(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant)
    await system.sandbox.fault("anthropic.messages", match=request.request_id, delay_seconds=8.0)

    await system.upstream.ask(request)
    failed = await system.upstream.outcome(request)

    assert ("failed", "the model did not answer in time (3 attempts)") == (failed.event, failed.reason)
    assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))
    calls = await system.sql.fetch(
        "SELECT attempt, outcome FROM model_calls WHERE tenant_id = $1 ORDER BY attempt", tenant.tenant_id
    )
    assert [(1, "timed_out"), (2, "timed_out"), (3, "timed_out")] == [tuple(call) for call in calls]
    drafts = await system.sql.fetchval("SELECT count(*) FROM leads WHERE tenant_id = $1", tenant.tenant_id)
    assert 0 == drafts


async def test_what_was_delivered_is_billed_and_not_what_was_asked_for(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=10)
    few = json.dumps({"leads": [_lead(number) for number in range(4)]})
    await system.sandbox.fault("anthropic.messages", match=request.request_id, text=few)

    await delivered(system, request)

    completed = await system.upstream.outcome(request)
    assert (10, 4) == (completed.requested, completed.delivered)
    assert 4 == len(system.upstream.leads_of(tenant.tenant_id, request.request_id)[0].leads)
    await system.until_settled(tenant)
    assert (4, 4) == (await system.ledger(tenant), await system.told_stripe(tenant))
    assert 0 == await system.held(tenant)


async def test_suspended_and_unknown_tenants_are_refused(system: RunningSystem) -> None:
    suspended = await system.tenant(status="suspended")
    unknown = "nobody-we-know"

    first = lead_request(suspended)
    second = first.model_copy(update={"tenant_id": unknown})
    await system.upstream.ask(first, second)

    refused = await system.upstream.outcome(first)
    assert ("refused", "the tenant is suspended") == (refused.event, refused.reason)
    refused = await system.upstream.outcome(second)
    assert ("refused", "unknown tenant") == (refused.event, refused.reason)


async def test_a_tenant_unknown_to_stripe_is_parked_and_disturbs_nobody(system: RunningSystem) -> None:
    orphan, healthy = await system.tenant(known_to_stripe=False), await system.tenant()
    lost, fine = lead_request(orphan), lead_request(healthy)

    await system.upstream.ask(lost, fine)
    parked = await system.upstream.outcome(lost, "parked")
    completed = await system.upstream.outcome(fine)

    assert "report_to_stripe" == parked.step
    assert "completed" == completed.event
    letter = await system.sql.fetchrow(
        "SELECT step, status FROM dead_letters WHERE tenant_id = $1", orphan.tenant_id
    )
    assert letter is not None
    assert ("report_to_stripe", "open") == tuple(letter)
    assert 3 == await system.visible_leads(orphan)
    assert 0 == await system.told_stripe(orphan)


async def test_usage_whose_answer_from_stripe_was_lost_is_billed_once(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=5)
    await system.sandbox.fault("stripe.meter_events", match=tenant.customer, drop="after", times=1)

    await delivered(system, request)

    calls = await system.sandbox.calls("stripe.meter_events")
    sent = [call for call in calls if tenant.customer in call["body"]]
    assert len(sent) >= 2, "the call was not repeated, so the fault was not met"
    assert (5, 5) == (await system.ledger(tenant), await system.told_stripe(tenant))


async def test_a_discord_that_is_down_delays_no_saga(system: RunningSystem) -> None:
    tenant = await system.tenant()
    await system.sandbox.fault(
        "discord.webhook", match=f"/webhooks/{tenant.webhook}/", status=429, retry_after=0.1
    )

    await delivered(system, lead_request(tenant))

    await system.until_sql(
        "SELECT attempts > 0 AND state = 'waiting' FROM notices WHERE tenant_id = $1", tenant.tenant_id
    )
    assert [] == await system.sandbox.messages(tenant.webhook)


async def test_a_completed_request_is_told_on_discord(system: RunningSystem) -> None:
    tenant = await system.tenant()

    await delivered(system, lead_request(tenant))

    await system.until_sql(
        "SELECT state = 'sent' FROM notices WHERE tenant_id = $1 AND event = 'completed'", tenant.tenant_id
    )
    assert 1 == len(await system.sandbox.messages(tenant.webhook))


def _lead(number: int) -> dict[str, object]:
    domain = f"company-{number}.example"
    return {
        "company": f"Company {number}",
        "website": f"https://www.{domain}",
        "contact_name": "Kim Example",
        "contact_title": "Head of Purchasing",
        "email": f"kim@{domain}",
        "country": "NL",
        "reason": "It makes bicycles in Utrecht.",
        "score": 80,
    }
