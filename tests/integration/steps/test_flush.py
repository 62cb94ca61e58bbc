"""The flush against a real Postgres: what Stripe was told is the net of the ledger, told once."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.errors import StepRejected, StepTransient, StepUnknown
from contracts.outcomes import Done, Rejected
from steps.billing.flush import flush_tenant
from steps.billing.lag import flush_lag
from steps.clients.stripe import UsageUnknown
from steps.refund_at_stripe import STEP as REFUND
from steps.report_to_stripe import STEP as REPORT
from steps.work.rounds import Rounds
from tests.kit.tenants_at_work import TenantsAtWork, again

TIMED_OUT = StepUnknown("no answer in time", error="TimedOut")


async def outside(world: TenantsAtWork) -> list[set[str]]:
    """Names of the outside ids of each effect."""
    rows = await world.admin.fetch("SELECT ARRAY(SELECT jsonb_object_keys(outside)) AS names FROM effects")
    return [set(row["names"]) for row in rows]


async def test_many_sagas_of_a_tenant_cost_one_call_and_all_are_answered(world, stripe, worker):
    await world.tenant("acme")
    commands = [await world.usage("acme", 12) for _ in range(10)]
    assert list(await world.take(REPORT, *commands)) == []

    rounds = Rounds("flush", flush_tenant)
    await rounds(worker)
    await rounds.ended()

    assert [call["value"] for call in stripe.calls] == [120]
    assert {command.saga_id for command in commands} == {reply.saga_id for reply in worker.replies}
    assert {"done"} == {reply.outcome.kind for reply in worker.replies}
    assert await world.due_in("acme") is None


async def test_usage_waits_for_more_until_the_interval_is_over_or_enough_waits(world, worker):
    await world.tenant("acme")
    await world.take(REPORT, await world.usage("acme", 99))
    assert 50 < await world.due_in("acme") <= 60
    await world.usage("acme", 1)
    assert await world.due_in("acme") <= 0


async def test_what_stripe_has_already_is_answered_at_once(world, worker):
    await world.tenant("acme")
    command = await world.usage("acme", 3)
    await flush_tenant(worker, "acme")

    [reply] = await world.take(REPORT, command)

    assert isinstance(reply.outcome, Done)
    assert reply.outcome.facts["sent"] == 3
    assert await world.due_in("acme") is None
    assert [{"stripe_identifier", "intent_id"}] == await outside(world)


async def test_a_usage_and_its_reversal_net_out_and_a_net_of_nothing_is_not_sent(world, stripe, worker):
    await world.tenant("acme")
    usage = await world.usage("acme", 5)
    reversal = await world.reversal(usage, 5)
    await world.take(REPORT, usage)
    await world.take(REFUND, reversal)

    await flush_tenant(worker, "acme")

    assert stripe.calls == []
    assert {("lead", "done"), ("refund", "done")} == {(r.saga, r.outcome.kind) for r in worker.replies}
    assert [{"intent_id"}] * 2 == await outside(world), "Stripe knows no identifier of it"


async def test_a_reversal_of_sent_usage_is_a_negative_event(world, stripe, worker):
    await world.tenant("acme")
    usage = await world.usage("acme", 5)
    await flush_tenant(worker, "acme")
    await world.take(REFUND, await world.reversal(usage, 2))
    await flush_tenant(worker, "acme")

    assert [call["value"] for call in stripe.calls] == [5, -2]
    [reply] = worker.replies
    assert reply.outcome.facts["instrument"] == "nets_out"


async def test_each_billing_period_is_an_event_inside_that_period(world, stripe, worker):
    await world.tenant("acme")
    turn = await world.period_turned("acme", timedelta(minutes=50))
    await world.usage("acme", 2, period=await world.period_before("acme"))
    await world.usage("acme", 3)

    await flush_tenant(worker, "acme")

    [earlier, later] = stripe.calls
    assert (2, turn - timedelta(seconds=1)) == (earlier["value"], earlier["at"])
    assert later["value"] == 3
    assert turn <= later["at"] <= datetime.now(UTC)


async def test_what_comes_after_a_periods_invoice_is_final_is_refused_and_stays_so(world, stripe, worker):
    """Stripe would take the event, and bill nothing."""
    await world.tenant("acme")
    await world.period_turned("acme", timedelta(minutes=50))
    await world.usage("acme", 5, period=await world.period_before("acme"))
    await flush_tenant(worker, "acme")
    await world.period_turned("acme", timedelta(minutes=70))
    late = await world.usage("acme", 2, period=await world.period_before("acme"))
    for attempt in (1, 2):
        await world.take(REPORT, again(late, attempt))
        await flush_tenant(worker, "acme")

    assert [5] == [call["value"] for call in stripe.calls]
    assert ["confirmed", "rejected"] == await world.states("intents", "acme")
    assert [("rejected", 1), ("rejected", 2)] == [(r.outcome.kind, r.attempt) for r in worker.replies]
    assert all("the billing period is closed" in reply.outcome.reason for reply in worker.replies)
    assert await world.due_in("acme") is None


async def test_a_longer_grace_is_a_setting(world, stripe, worker, monkeypatch):
    monkeypatch.setenv("LEADSAGA_INVOICE_GRACE", "2")
    await world.tenant("acme")
    await world.period_turned("acme", timedelta(minutes=70))
    await world.usage("acme", 5, period=await world.period_before("acme"))
    await flush_tenant(worker, "acme")

    assert [5] == [call["value"] for call in stripe.calls]


async def test_a_send_that_was_planned_before_the_period_closed_keeps_its_course(world, stripe, worker):
    await world.tenant("acme")
    await world.period_turned("acme", timedelta(minutes=50))
    await world.usage("acme", 5, period=await world.period_before("acme"))
    stripe.failures = [("after", TIMED_OUT)]
    await flush_tenant(worker, "acme")
    await world.period_turned("acme", timedelta(minutes=70))
    await world.hurry()
    await flush_tenant(worker, "acme")

    assert ["confirmed"] == await world.states("intents", "acme")


async def test_what_nets_out_within_a_closed_period_has_nothing_to_be_refused_for(world, stripe, worker):
    await world.tenant("acme")
    await world.period_turned("acme", timedelta(hours=5))
    usage = await world.usage("acme", 5, period=await world.period_before("acme"))
    await world.reversal(usage, 5)
    await flush_tenant(worker, "acme")

    assert ([], ["confirmed"]) == (stripe.calls, await world.states("intents", "acme"))


async def test_what_surely_was_not_taken_is_sent_again_later_under_the_same_key(world, stripe, worker):
    await world.tenant("acme")
    await world.take(REPORT, await world.usage("acme", 4))
    stripe.failures = [("before", StepTransient("busy", retry_after=40.0))]

    await flush_tenant(worker, "acme")
    assert await world.states("intents", "acme") == ["pending"]
    assert 35 < await world.due_in("acme") <= 40
    await flush_tenant(worker, "acme")
    assert len(stripe.calls) == 1
    await world.hurry()
    await flush_tenant(worker, "acme")

    assert [stripe.calls[0]["key"]] * 2 == [call["key"] for call in stripe.calls]
    assert [reply.outcome.kind for reply in worker.replies] == ["done"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_unknown_outcome_is_settled_by_the_same_identifier(world, stripe, worker, when):
    await world.tenant("acme")
    await world.usage("acme", 4)
    stripe.failures = [(when, UsageUnknown("server error", stored=True))]

    await flush_tenant(worker, "acme")
    assert await world.states("intents", "acme") == ["sending"]
    await world.usage("acme", 7)
    await world.hurry()
    await flush_tenant(worker, "acme")

    [first, second, rest] = stripe.calls
    assert first["identifier"] == second["identifier"] != rest["identifier"]
    assert first["key"] != second["key"], "a stored failure is only ever repeated"
    assert stripe.billed("cus_acme") == 11


async def test_a_busy_stripe_says_nothing_of_the_call_before(world, stripe, worker):
    await world.tenant("acme")
    await world.usage("acme", 4)
    stripe.failures = [
        ("after", TIMED_OUT),
        ("before", StepTransient("busy", error="idempotency_key_in_use")),
    ]
    for _ in range(2):
        await flush_tenant(worker, "acme")
        await world.hurry()
    assert ["sending"] == await world.states("intents", "acme")
    await flush_tenant(worker, "acme")

    assert 1 == len({(call["identifier"], call["key"]) for call in stripe.calls})
    assert (["confirmed"], 4) == (await world.states("intents", "acme"), stripe.billed("cus_acme"))


async def test_what_stripe_refused_is_sent_under_the_same_identifier_once_mended(world, stripe, worker):
    await world.tenant("acme")
    command = await world.usage("acme", 4)
    await world.take(REPORT, command)
    stripe.failures = [("before", StepRejected("no such customer", error="CustomerNotFound"))]
    await flush_tenant(worker, "acme")
    [refused] = worker.replies
    assert isinstance(refused.outcome, Rejected)
    assert (refused.outcome.error, await world.due_in("acme")) == ("StripeRejected", None)

    await world.admin.execute("UPDATE tenants SET stripe_customer = 'cus_mended'")
    assert list(await world.take(REPORT, again(command, 2))) == []
    await flush_tenant(worker, "acme")

    [first, second] = stripe.calls
    assert first["identifier"] == second["identifier"]
    assert (second["customer"], worker.replies[-1].attempt) == ("cus_mended", 2)
    assert isinstance(worker.replies[-1].outcome, Done)


async def test_without_a_customer_nothing_is_sent_and_every_try_is_refused(world, stripe, worker):
    await world.tenant("acme", customer=None)
    command = await world.usage("acme", 4)
    for attempt in (1, 2):
        await world.take(REPORT, again(command, attempt))
        await flush_tenant(worker, "acme")

    assert stripe.calls == []
    assert [(r.outcome.kind, r.attempt) for r in worker.replies] == [("rejected", 1), ("rejected", 2)]
    assert "no Stripe customer" in worker.replies[0].outcome.reason


@pytest.mark.parametrize(("stored", "state"), [(False, "rejected"), (True, "sending")])
async def test_a_refusal_settles_a_doubt_only_under_the_same_key(world, stripe, worker, stored, state):
    await world.tenant("acme")
    await world.usage("acme", 4)
    stripe.failures = [
        ("after" if stored else "before", UsageUnknown("broken off", stored=stored)),
        ("before", StepRejected("no such customer")),
    ]
    await flush_tenant(worker, "acme")
    await world.hurry()
    await flush_tenant(worker, "acme")
    assert await world.states("intents", "acme") == [state]


async def test_a_command_without_usage_is_refused(world):
    await world.tenant("acme")
    command = await world.usage("acme", 4)
    foreign = command.model_copy(update={"saga_id": await world.saga("acme")})
    [reply] = await world.take(REPORT, foreign)
    assert reply.outcome.error == "NoUsage"


async def test_the_lag_is_the_age_of_the_oldest_usage_that_is_not_confirmed(world, worker):
    await world.tenant("acme")
    assert await flush_lag(world.database) == 0
    await world.usage("acme", 4)
    await world.admin.execute("UPDATE work_due SET since = now() - interval '5 minutes'")
    assert 300 <= await flush_lag(world.database) < 330
    await flush_tenant(worker, "acme")
    assert await flush_lag(world.database) == 0
