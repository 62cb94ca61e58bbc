"""Refunds in the ledger: bounded by what was billed, however many come at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from contracts.facts import UsageRefunded
from contracts.outcomes import Done
from tests.kit.commands import attempt
from tests.kit.ledger import QUOTA, Ledger, refused
from tests.kit.tenants_at_work import tenants_at_work


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        await world.admin.execute("UPDATE plans SET monthly_quota = $1", QUOTA)
        yield Ledger(world)


async def test_partial_refunds_add_up_give_quota_back_and_never_exceed_what_was_billed(ledger):
    usage = await ledger.delivered(10)
    some = await ledger.refund(usage, 4)
    [first] = await ledger.refunded(some)
    [repeated] = await ledger.refunded(attempt(some, 2))
    outcomes = [
        *await ledger.refunded(await ledger.refund(usage, 7)),
        *await ledger.refunded(await ledger.refund(usage, 6)),
    ]

    assert 4 == UsageRefunded.model_validate(first.facts).leads
    assert first == repeated
    assert (["MoreThanBilled"], "done") == (refused(outcomes), outcomes[1].kind)
    assert "10 were billed and 4 of them are refunded already" in outcomes[0].reason
    assert (0, 0) == await ledger.quota()
    assert [("usage", 10), ("reversal", -4), ("reversal", -6)] == await ledger.rows(
        "SELECT kind, leads FROM ledger ORDER BY occurred_at"
    )


async def test_all_that_is_left_is_refunded_when_no_number_is_given_and_then_nothing_is_left(ledger):
    usage = await ledger.delivered(10)
    await ledger.refunded(await ledger.refund(usage, 4))
    [rest] = await ledger.refunded(await ledger.refund(usage))
    [nothing] = await ledger.refunded(await ledger.refund(usage))

    assert 6 == UsageRefunded.model_validate(rest.facts).leads
    assert ["MoreThanBilled"] == refused([nothing])
    assert nothing.reason.startswith("10 leads cannot be refunded: 10 were billed and 10 of them")


async def test_a_refund_keeps_price_period_and_actor_and_asks_for_a_flush(ledger):
    usage = await ledger.delivered(10)
    await ledger.world.admin.execute("UPDATE plans SET price_per_lead = 9, currency = 'usd'")
    await ledger.world.admin.execute("DELETE FROM work_due")
    await ledger.refunded(await ledger.refund(usage, 4))

    both = "SELECT DISTINCT unit_price, currency, event_name, period_start, request_id FROM ledger"
    assert 1 == len(await ledger.rows(both))
    assert [("ann", "bounced")] == await ledger.rows(
        "SELECT actor, reason FROM ledger WHERE kind = 'reversal'"
    )
    assert [("flush", 4)] == await ledger.rows("SELECT kind, weight FROM work_due")


async def test_two_refunds_at_once_cannot_take_more_than_there_is(ledger):
    usage = await ledger.delivered(10)
    refunds = [await ledger.refund(usage, 6) for _ in range(4)]
    apart = await asyncio.gather(ledger.refunded(*refunds[:2]), ledger.refunded(*refunds[2:]))
    outcomes = [outcome for each in apart for outcome in each]

    assert 3 == len(refused(outcomes))
    assert [(-6,)] == await ledger.rows("SELECT leads FROM ledger WHERE kind = 'reversal'")
    assert (4, 0) == await ledger.quota()


@pytest.mark.parametrize("tenant_id", ["acme", "globex"])
async def test_what_was_never_billed_to_this_tenant_cannot_be_refunded(ledger, tenant_id):
    recorded = await ledger.delivered(10, tenant_id="globex")
    of = await ledger.wants(5) if tenant_id == "acme" else recorded
    stolen = of.model_copy(update={"tenant_id": "acme", "request_id": recorded.request_id})
    [outcome] = await ledger.refunded(await ledger.refund(stolen, 1))

    assert ["NothingBilled"] == refused([outcome])
    assert (10, 0) == await ledger.quota("globex")


async def test_a_refund_returns_quota_to_the_period_it_was_taken_from(ledger):
    """A saga that reserved before the turn of a period and delivered after it."""
    command = await ledger.wants(10)
    await ledger.reserve(command)
    before = datetime(2026, 1, 1, tzinfo=UTC)
    await ledger.world.admin.execute("INSERT INTO quota_periods VALUES ('acme', $1, 0, 10)", before)
    await ledger.world.admin.execute("UPDATE holds SET period_start = $1", before)
    await ledger.world.admin.execute("UPDATE quota_periods SET held = 0 WHERE period_start <> $1", before)
    await ledger.generated(command, 10)
    await ledger.record(command)
    await ledger.delivered(5)
    [outcome] = await ledger.refunded(await ledger.refund(command, 10))

    assert "done" == outcome.kind
    assert [(0, 0), (5, 0)] == await ledger.rows("SELECT used, held FROM quota_periods ORDER BY period_start")


async def test_done_is_what_every_step_of_the_ledger_answers_in_the_end(ledger):
    usage = await ledger.delivered(2)
    assert [Done] == [type(each) for each in await ledger.refunded(await ledger.refund(usage))]
    assert 0 == await ledger.world.net("acme")
