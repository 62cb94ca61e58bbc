"""Quota and usage on a real Postgres: what is promised, delivered and counted adds up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.events import LEADS_PER_EVENT, LeadsReady
from contracts.facts import QuotaReserved, UsageRecorded
from contracts.outcomes import Rejected
from steps import reserve_quota
from tests.kit.commands import attempt, lead_command, undo
from tests.kit.ledger import QUOTA, Ledger, refused
from tests.kit.tenants_at_work import tenants_at_work


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        await world.admin.execute("UPDATE plans SET monthly_quota = $1", QUOTA)
        yield Ledger(world)


async def test_a_reservation_says_what_it_took_and_from_which_period(ledger):
    command = await ledger.wants(30)
    [outcome] = await ledger.outcomes(reserve_quota.STEP.do, command)

    fact = QuotaReserved.model_validate(outcome.facts)
    start, end = await ledger.world.admin.fetchrow(
        "SELECT date_trunc('month', now()), date_trunc('month', now()) + interval '1 month'"
    )
    assert (30, start, end) == (fact.leads, fact.period_start, fact.period_end)
    assert (0, 30) == await ledger.quota()


async def test_in_a_bundle_the_first_to_come_are_served_and_a_smaller_one_may_still_fit(ledger):
    wants = [await ledger.wants(leads) for leads in (60, 50, 40, 1)]
    in_order = sorted(wants, key=lambda each: each.saga_id)
    free, expected = QUOTA, []
    for each in in_order:
        fits = each.request["leads"] <= free
        free -= each.request["leads"] if fits else 0
        expected.append("done" if fits else "rejected")

    assert expected == await ledger.reserve(*in_order)
    assert (0, QUOTA - free) == await ledger.quota()


async def test_over_quota_says_how_many_are_left_and_until_when(ledger):
    await ledger.reserve(await ledger.wants(90))
    [outcome] = await ledger.outcomes(reserve_quota.STEP.do, await ledger.wants(11))

    assert ["OverQuota"] == refused([outcome])
    assert outcome.reason.startswith("over quota: 11 leads were asked for, 10 of 100 are left until 2")
    assert (0, 90) == await ledger.quota()


async def test_a_quota_that_was_lowered_below_its_use_has_nothing_left(ledger):
    await ledger.reserve(await ledger.wants(90))
    await ledger.world.admin.execute("UPDATE plans SET monthly_quota = 10")
    [outcome] = await ledger.outcomes(reserve_quota.STEP.do, await ledger.wants(1))
    assert "0 of 10 are left" in outcome.reason


async def test_a_plan_with_overage_never_refuses(ledger):
    await ledger.world.admin.execute("UPDATE plans SET overage = true")
    wants = [await ledger.wants(QUOTA) for _ in range(3)]
    assert ["done"] * 3 == await ledger.reserve(*wants)
    assert (0, 3 * QUOTA) == await ledger.quota()


async def test_each_tenant_has_its_own_quota_in_a_shared_bundle(ledger):
    wants = [await ledger.wants(QUOTA, tenant) for tenant in ("acme", "globex")]
    assert ["done", "done"] == await ledger.reserve(*wants)
    assert [(0, QUOTA), (0, QUOTA)] == [await ledger.quota(tenant) for tenant in ("acme", "globex")]


async def test_a_suspended_tenant_is_refused_and_its_neighbour_is_not(ledger):
    await ledger.world.admin.execute("UPDATE tenants SET status = 'suspended' WHERE tenant_id = 'acme'")
    wants = [await ledger.wants(1, tenant) for tenant in ("acme", "globex")]
    outcomes = await ledger.outcomes(reserve_quota.STEP.do, *wants)

    assert (["NoTenant"], "done") == (refused(outcomes), outcomes[1].kind)
    assert "suspended" in outcomes[0].reason


async def test_a_tenant_that_nobody_knows_is_refused(ledger):
    command = lead_command("nobody", (await ledger.wants(1)).saga_id, "reserve_quota")
    async with ledger.world.database.transaction("nobody") as connection:
        [outcome] = await reserve_quota.reserve_quota(connection, [command])
    assert Rejected(reason="unknown tenant", error="NoTenant") == outcome


async def test_concurrent_bundles_never_take_more_than_the_quota(ledger):
    bundles = [[await ledger.wants(7) for _ in range(4)] for _ in range(6)]
    kinds = [
        kind
        for each in await asyncio.gather(*(ledger.reserve(*bundle) for bundle in bundles))
        for kind in each
    ]

    assert QUOTA // 7 == kinds.count("done")
    assert (0, QUOTA // 7 * 7) == await ledger.quota()
    assert [(QUOTA // 7,)] == await ledger.rows("SELECT count(*)::int FROM holds WHERE state = 'held'")


async def test_a_release_gives_back_once_and_is_happy_to_find_nothing(ledger):
    held, other, never = [await ledger.wants(10) for _ in range(3)]
    await ledger.reserve(held, other)
    assert ["done", "done"] == await ledger.release(held, never)
    assert (0, 10) == await ledger.quota()
    assert ["done", "done"] == await ledger.release(held, never)
    again = [undo(each, attempt=2) for each in (held, never)]
    assert ["done", "done"] == [each.kind for each in await ledger.outcomes(reserve_quota.STEP.undo, *again)]
    assert (0, 10) == await ledger.quota()
    assert ["rejected"] == await ledger.reserve(never)


async def test_recording_shows_counts_settles_and_notes_work_in_one_go(ledger):
    command = await ledger.wants(10)
    await ledger.reserve(command)
    await ledger.generated(command, 7)
    answers = await ledger.record(command)

    [reply] = answers.replies
    fact = UsageRecorded.model_validate(reply.outcome.facts)
    assert 7 == fact.leads
    assert [(7,)] == await ledger.rows("SELECT count(visible_at)::int FROM leads")
    assert [("usage", 7, fact.ledger_id, command.request_id, "eur", "leads_delivered")] == await ledger.rows(
        "SELECT kind, leads, ledger_id, request_id, currency, event_name FROM ledger"
    )
    assert [("settled",)] == await ledger.rows("SELECT state FROM holds")
    assert (7, 0) == await ledger.quota()
    flush = "FROM work_due WHERE kind = 'flush'"
    assert [("acme", 7)] == await ledger.rows(f"SELECT tenant_id, weight {flush}")
    moments = f"SELECT visible_at FROM leads UNION SELECT occurred_at FROM ledger UNION SELECT since {flush}"
    assert 1 == len(await ledger.rows(moments))


async def test_no_more_than_was_asked_for_is_shown_and_counted_and_the_best_are_kept(ledger):
    asked, exact = await ledger.wants(10), await ledger.wants(3)
    await ledger.reserve(asked, exact)
    await ledger.generated(asked, 17)
    await ledger.generated(exact, 3)
    answers = await ledger.record(asked, exact)

    assert {10, 3} == {event.total for event in answers.events if isinstance(event, LeadsReady)}
    assert {(10,), (3,)} == set(await ledger.rows("SELECT leads FROM ledger"))
    shown = await ledger.world.admin.fetch(
        "SELECT score, visible_at FROM leads WHERE saga_id = $1 ORDER BY score DESC", asked.saga_id
    )
    assert list(range(17, 7, -1)) == [row["score"] for row in shown if row["visible_at"]]
    assert 10 == len(shown), "what is over is discarded"
    assert (13, 0) == await ledger.quota()


async def test_without_a_lead_nothing_is_charged(ledger):
    command = await ledger.wants(10)
    await ledger.reserve(command)
    answers = await ledger.record(command)

    assert ["NoLeads"] == refused([reply.outcome for reply in answers.replies])
    assert ([], [], []) == (
        answers.events,
        await ledger.rows("SELECT * FROM ledger"),
        await ledger.rows("SELECT * FROM work_due WHERE kind = 'flush'"),
    )
    assert (0, 10) == await ledger.quota()


async def test_sagas_recorded_together_are_counted_apart(ledger):
    sizes = {"acme": [3, 0, 5], "globex": [2]}
    commands = [(await ledger.wants(8, tenant), size) for tenant in sizes for size in sizes[tenant]]
    await ledger.reserve(*[command for command, _ in commands])
    for command, size in commands:
        await ledger.generated(command, size)
    replies = {
        reply.saga_id: reply for reply in (await ledger.record(*[each for each, _ in commands])).replies
    }

    for command, size in commands:
        assert size == replies[command.saga_id].outcome.model_dump().get("facts", {}).get("leads", 0)
    assert [(8, 8), (2, 0)] == [await ledger.quota(tenant) for tenant in sizes]


async def test_sixty_leads_are_delivered_in_three_events_and_repeated_under_the_same_ids(ledger):
    command = await ledger.wants(60)
    await ledger.reserve(command)
    await ledger.generated(command, 60)
    first, again = await ledger.record(command), await ledger.record(attempt(command, 2))

    events = [event for event in first.events if isinstance(event, LeadsReady)]
    assert [(1, 3, 60, 25), (2, 3, 60, 25), (3, 3, 60, 10)] == [
        (event.part, event.parts, event.total, len(event.leads)) for event in events
    ]
    assert 60 == len({lead.lead_id for event in events for lead in event.leads})
    assert max(len(event.leads) for event in events) <= LEADS_PER_EVENT
    assert first.events == again.events
    assert first.replies == again.replies
    assert [(1,)] == await ledger.rows("SELECT count(*)::int FROM ledger")


async def test_drafts_that_come_after_the_recording_are_neither_shown_nor_announced(ledger):
    command = await ledger.delivered(3, wanted=5)
    await ledger.generated(command, 2)
    answers = await ledger.record(command)

    assert [3] == [event.total for event in answers.events if isinstance(event, LeadsReady)]
    assert [(3,)] == await ledger.rows("SELECT count(visible_at)::int FROM leads")
