"""Sends of which nobody knows whether Stripe has them, after it has forgotten their identifiers: its totals
settle them, and whatever they say, nothing is billed twice."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from contracts.errors import StepTransient, StepUnknown
from steps.billing import turns
from steps.billing.flush import flush_tenant
from steps.refund_at_stripe import STEP as REFUND
from tests.kit.doubts import NO_ANSWER, a_day_passes, doubtful, on_the_next_days, rows_of
from tests.kit.stand_ins import Crash, CrashingDatabase, FakeWorker


async def test_a_total_with_the_send_proves_that_it_landed(world, stripe, worker):
    await doubtful(worker, world, "after")
    await flush_tenant(worker, "acme")

    assert [3, 4] == [call["value"] for call in stripe.calls]
    assert ["confirmed", "confirmed"] == await world.states("intents", "acme")
    assert ["done"] == [reply.outcome.kind for reply in worker.replies]
    assert await world.due_in("acme") is None


async def test_one_total_without_the_send_proves_nothing_and_holds_its_meter(world, stripe, worker):
    await doubtful(worker, world, "before")
    await world.usage("acme", 5)
    for _ in range(2):
        await flush_tenant(worker, "acme")
        await world.hurry()

    assert [3, 4] == [call["value"] for call in stripe.calls]
    assert ["confirmed", "ambiguous"] == await world.states("intents", "acme")
    assert ([], 2) == (worker.replies, stripe.reads)


async def test_the_next_look_is_a_day_later(world, worker):
    await doubtful(worker, world, "before")
    await flush_tenant(worker, "acme")
    assert 23.9 * 3600 < await world.due_in("acme") <= 24 * 3600


async def test_two_totals_without_the_send_a_day_apart_prove_its_absence_and_it_is_sent_anew(
    world, stripe, worker
):
    await doubtful(worker, world, "before")
    await world.usage("acme", 5)
    await on_the_next_days(worker, world, 1)

    _, lost, anew, rest = stripe.calls
    assert lost["identifier"] != anew["identifier"]
    assert [(4, lost["at"]), 5] == [(anew["value"], anew["at"]), rest["value"]], (
        "its time is that of the usage"
    )
    assert [("confirmed", 3, 3), ("missing", 4, 0), ("confirmed", 4, 4), ("confirmed", 5, 5)] == sorted(
        await rows_of(world), key=lambda row: (row[1], row[2])
    )
    assert ["done"] == [reply.outcome.kind for reply in worker.replies]
    assert (12, None) == (stripe.billed("cus_acme"), await world.due_in("acme"))


async def test_a_total_that_was_behind_costs_nothing(world, stripe, worker):
    """The send landed, and the first total does not show it yet."""
    await doubtful(worker, world, "after")
    stripe.totals = [3]
    await on_the_next_days(worker, world, 1)

    assert (7, 2) == (stripe.billed("cus_acme"), len(stripe.calls))
    assert ["confirmed", "confirmed"] == await world.states("intents", "acme")


async def test_a_total_that_nobody_understands_is_held_and_absence_begins_anew(world, stripe, worker):
    await doubtful(worker, world, "before")
    stripe.totals = [3, 9]
    await on_the_next_days(worker, world, 1)

    assert ["confirmed", "ambiguous"] == await world.states("intents", "acme")
    error = await world.admin.fetchval("SELECT error FROM intents WHERE state = 'ambiguous'")
    assert "Stripe counts 9 leads in the period, and should count 3 or 7" == error
    assert 0 < await world.due_in("acme") <= 3600
    await world.hurry()
    await on_the_next_days(worker, world, 1)
    assert ["confirmed", "confirmed", "missing"] == sorted(await world.states("intents", "acme"))
    assert 7 == stripe.billed("cus_acme")


async def test_a_total_below_zero_may_be_cut_off_and_shows_no_absence(world, stripe, worker):
    """What it gives back was billed to another customer of the tenant's."""
    await world.tenant("acme")
    usage = await world.usage("acme", 5)
    await flush_tenant(worker, "acme")
    await world.admin.execute("UPDATE tenants SET stripe_customer = 'cus_other' WHERE tenant_id = 'acme'")
    await world.take(REFUND, await world.reversal(usage, 2))
    stripe.failures = [("after", NO_ANSWER)]
    await flush_tenant(worker, "acme")
    await a_day_passes(worker, world)
    stripe.totals = [0, 0, 0]
    await on_the_next_days(worker, world, 2)

    assert ["confirmed", "ambiguous"] == await world.states("intents", "acme")
    assert [5, -2] == [call["value"] for call in stripe.calls]


@pytest.mark.parametrize("fault", [StepTransient("busy"), StepUnknown("no answer"), ValueError("odd")])
async def test_a_total_that_cannot_be_read_is_read_again_soon(world, stripe, worker, fault):
    await doubtful(worker, world, "after")
    stripe.totals = [fault]
    await flush_tenant(worker, "acme")
    assert 0 < await world.due_in("acme") <= 300
    await world.hurry()
    await flush_tenant(worker, "acme")
    assert ["confirmed", "confirmed"] == await world.states("intents", "acme")


async def test_a_meter_that_stripe_does_not_have_keeps_the_send_doubtful(world, stripe, worker, monkeypatch):
    await doubtful(worker, world, "after")

    async def none(_event_name: str) -> None:
        return None

    monkeypatch.setattr(stripe, "meter_of", none)
    await flush_tenant(worker, "acme")
    assert ["confirmed", "ambiguous"] == await world.states("intents", "acme")


async def test_what_is_missing_once_its_period_is_closed_is_parked(world, stripe, worker):
    """Stripe would take a new event, and not bill it."""
    await doubtful(worker, world, "before")
    await world.period_turned("acme", timedelta(hours=40))
    await world.admin.execute(
        "UPDATE intents SET event_at = event_at - interval '41 hours',"
        " period_start = period_begin(billing_anchor, -1) FROM tenants"
    )
    for event in stripe.forgotten:
        event["at"] -= timedelta(hours=41)
    await on_the_next_days(worker, world, 1)

    assert 2 == len(stripe.calls)
    assert ["confirmed", "missing", "rejected"] == sorted(await world.states("intents", "acme"))
    [reply] = worker.replies
    assert "the billing period is closed" in reply.outcome.reason


async def test_the_totals_of_a_tenant_hold_up_nobody_else(world, stripe, worker, monkeypatch):
    await doubtful(worker, world, "after")
    asked, answer = asyncio.Event(), asyncio.Event()

    async def hangs(*_: Any) -> int:
        asked.set()
        await answer.wait()
        return 7

    monkeypatch.setattr(stripe, "event_summary", hangs)
    slow = asyncio.create_task(flush_tenant(worker, "acme"))
    await asked.wait()
    await world.tenant("fast")
    await world.usage("fast", 6)
    await flush_tenant(worker, "fast")
    assert 6 == stripe.billed("cus_fast")
    answer.set()
    await slow


@pytest.mark.parametrize("landed", ["before", "after"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_may_end_between_any_two_operations_of_it(world, stripe, worker, when, landed):
    crashed = 0
    for at in range(1, 30):
        tenant_id = f"t-{at}"
        await doubtful(worker, world, landed, tenant_id)
        await flush_tenant(worker, tenant_id)
        await a_day_passes(worker, world)
        dying = FakeWorker(CrashingDatabase(world.database, at, when), stripe)
        try:
            await flush_tenant(dying, tenant_id)
        except Crash:
            crashed += 1
        if await world.due_in(tenant_id) is not None:
            await world.hurry()
            await flush_tenant(worker, tenant_id)
        assert 7 == stripe.billed(f"cus_{tenant_id}")
        assert await world.due_in(tenant_id) is None
        if crashed < at:
            break
    assert crashed >= (3 if landed == "after" else 8)


async def test_two_processes_that_read_the_same_total_send_it_anew_once(world, stripe, worker, monkeypatch):
    await doubtful(worker, world, "before")
    await flush_tenant(worker, "acme")
    await a_day_passes(worker, world)
    asked, answer = asyncio.Semaphore(0), asyncio.Event()

    async def late(*_: Any) -> int:
        asked.release()
        await answer.wait()
        return 3

    monkeypatch.setattr(stripe, "event_summary", late)
    both = [asyncio.create_task(flush_tenant(worker, "acme"))]
    await asked.acquire()
    await world.hurry()
    both.append(asyncio.create_task(flush_tenant(FakeWorker(world.database, stripe), "acme")))
    await asked.acquire()
    answer.set()
    await asyncio.gather(*both)
    assert [3, 4, 4] == [call["value"] for call in stripe.calls]
    assert 7 == stripe.billed("cus_acme")


async def test_who_reads_late_changes_nothing(world, stripe, worker, monkeypatch):
    """A second absence that was read before another process saw something else is no proof any more."""
    await doubtful(worker, world, "before")
    await flush_tenant(worker, "acme")
    await a_day_passes(worker, world)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def late(*_: Any) -> int:
        asked.set()
        await answer.wait()
        return 3

    with monkeypatch.context() as patched:
        patched.setattr(stripe, "event_summary", late)
        slow = asyncio.create_task(flush_tenant(worker, "acme"))
        await asked.wait()
    stripe.totals = [8]
    await world.hurry()
    await flush_tenant(FakeWorker(world.database, stripe), "acme")
    answer.set()
    await slow
    assert ["confirmed", "ambiguous"] == await world.states("intents", "acme")


async def test_the_database_refuses_what_the_protocol_forbids(world, worker):
    await doubtful(worker, world, "before")
    await flush_tenant(worker, "acme")
    early = "UPDATE intents SET state = 'missing', settled_at = now() WHERE state = 'ambiguous'"
    with pytest.raises(asyncpg.CheckViolationError):
        await world.admin.execute(early)
    another = "UPDATE carriers SET intent_id = (SELECT intent_id FROM intents WHERE state = 'confirmed')"
    async with world.database.transaction("acme") as connection:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(another)


async def test_a_doubt_that_becomes_too_old_while_it_waits_for_its_turn_is_not_sent(
    world, stripe, worker, monkeypatch
):
    await world.tenant("acme")
    await world.usage("acme", 4)
    stripe.failures = [("before", NO_ANSWER)]
    await flush_tenant(worker, "acme")
    await world.hurry()

    async def long(*_: Any) -> None:
        await world.a_day_passes()

    monkeypatch.setattr(turns, "wait_for_turn", long)
    await flush_tenant(worker, "acme")
    assert 1 == len(stripe.calls)
