"""What a refund may ask for: its time, the leads themselves, the quota."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.facts import UsageRefunded
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected
from steps import record_usage
from tests.kit.ledger import QUOTA, Ledger
from tests.kit.tenants_at_work import tenants_at_work

PERMIT = """
INSERT INTO refund_permits (tenant_id, refund_id, actor, reason) VALUES ('acme', $1, 'ann', 'goodwill')
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        await world.admin.execute("UPDATE plans SET monthly_quota = $1", QUOTA)
        yield Ledger(world)


async def refunded(ledger: Ledger, usage: Command, leads: int, **terms: Any) -> tuple[Command, Outcome]:
    refund = await ledger.refund(usage, leads)
    asked = refund.model_copy(update={"request": {**refund.request, **terms}})
    [outcome] = await ledger.refunded(asked)
    return asked, outcome


def fact(outcome: Outcome) -> UsageRefunded:
    assert isinstance(outcome, Done), outcome
    return UsageRefunded.model_validate(outcome.facts)


async def announced(ledger: Ledger, usage: Command) -> list[int]:
    """Scores of the leads that a repeated delivery brings."""
    async with ledger.world.database.transaction("acme") as connection:
        events = await record_usage.leads_ready(connection, [usage])
    return [lead.score for event in events for lead in getattr(event, "leads", [])]


async def delivered_ago(ledger: Ledger, days: int) -> Command:
    """Only a superuser can turn back the time of what is append-only."""
    usage, admin = await ledger.delivered(10), ledger.world.admin
    async with admin.transaction():
        await admin.execute("SET LOCAL session_replication_role = replica")
        await admin.execute("UPDATE ledger SET occurred_at = occurred_at - make_interval(days => $1)", days)
    return usage


async def test_by_default_leads_are_kept_and_quota_is_returned(ledger: Ledger) -> None:
    usage = await ledger.delivered(10)
    _, outcome = await refunded(ledger, usage, 4)
    assert (0, 4) == (fact(outcome).withdrawn, fact(outcome).quota_returned)
    assert (10, (6, 0)) == (len(await announced(ledger, usage)), await ledger.quota())


async def test_the_worst_leads_are_withdrawn_and_not_delivered_again(ledger: Ledger) -> None:
    usage = await ledger.delivered(10)
    _, some = await refunded(ledger, usage, 4, withdraw_leads=True)
    assert (4, [10, 9, 8, 7, 6, 5]) == (fact(some).withdrawn, await announced(ledger, usage))

    await refunded(ledger, usage, 6, withdraw_leads=True)
    assert [] == await announced(ledger, usage)


async def test_quota_can_stay_used(ledger: Ledger) -> None:
    usage = await ledger.delivered(10)
    _, outcome = await refunded(ledger, usage, 4, return_quota=False)
    assert (0, (10, 0)) == (fact(outcome).quota_returned, await ledger.quota())


@pytest.mark.parametrize(("days", "kind"), [(29, "done"), (31, "rejected")])
async def test_a_refund_can_be_asked_for_thirty_days(ledger: Ledger, days: int, kind: str) -> None:
    _, outcome = await refunded(ledger, await delivered_ago(ledger, days), 4)
    assert kind == outcome.kind
    if isinstance(outcome, Rejected):
        assert ("TooLate", True) == (
            outcome.error,
            outcome.reason.startswith("the leads were delivered 31 days"),
        )
        assert (10, 0) == await ledger.quota()


async def test_only_the_refund_that_an_operator_named_may_come_late(ledger: Ledger) -> None:
    usage = await delivered_ago(ledger, 31)
    first, second = await ledger.refund(usage, 4), await ledger.refund(usage, 4)
    await ledger.world.admin.execute(PERMIT, second.request["refund_id"])
    kinds = [outcome.kind for outcome in await ledger.refunded(first, second)]
    assert ["rejected", "done"] == kinds


async def test_no_step_can_let_a_refund_through_itself(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="permission denied"):
        async with ledger.world.database.transaction("acme") as connection:
            await connection.execute(PERMIT, "f-1")
