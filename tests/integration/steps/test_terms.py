"""What a plan says from when: prices for whole billing periods, quota at once, and plans that people bill."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from steps import reserve_quota
from tests.kit.books import DAYS_IN, Books
from tests.kit.books import books as opened
from tests.kit.ledger import refused

pytestmark = pytest.mark.services

_TERMS = """
INSERT INTO plan_terms (plan_id, valid_from, price_per_lead, currency, monthly_quota, overage, event_name,
    billing)
SELECT plan_id, now() - $1::interval, $2, 'usd', $3, $4, 'other_meter', $5 FROM plans
"""


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    async with opened(database_url) as found:
        yield found


async def says(
    books: Books, ago: timedelta, *, price: str = "0.75", quota: int = 1000, overage: bool = False,
    billing: str = "metered",
) -> None:  # fmt: skip
    await books.world.admin.execute(_TERMS, ago, Decimal(price), quota, overage, billing)


async def sold(books: Books) -> tuple[Any, ...]:
    await books.delivered(2)
    query = "SELECT unit_price, currency, event_name, billing FROM ledger ORDER BY ledger_id DESC LIMIT 1"
    return tuple(await books.world.admin.fetchrow(query))


async def test_a_price_holds_from_the_next_billing_period_on(books: Books) -> None:
    await says(books, DAYS_IN - timedelta(minutes=1))
    assert (Decimal("0.5"), "eur", "leads_delivered", "metered") == await sold(books)
    await says(books, DAYS_IN + timedelta(minutes=1))
    assert (Decimal("0.75"), "usd", "other_meter", "metered") == await sold(books)


async def test_of_several_terms_the_latest_ones_that_have_begun_hold(books: Books) -> None:
    for days, price in ((90, "0.1"), (20, "0.3"), (50, "0.2"), (-5, "0.4")):
        await says(books, timedelta(days=days), price=price)
    assert Decimal("0.3") == (await sold(books))[0]


async def test_quota_and_overage_hold_at_once(books: Books) -> None:
    ledger = books.ledger
    await says(books, timedelta(minutes=2), quota=5)
    assert ["OverQuota"] == refused(await ledger.outcomes(reserve_quota.STEP.do, await ledger.wants(6)))
    await says(books, timedelta(minutes=1), quota=5, overage=True)
    assert ["done"] == await ledger.reserve(await ledger.wants(6))


async def test_usage_that_people_bill_is_recorded_answered_and_never_sent(books: Books) -> None:
    await says(books, DAYS_IN + timedelta(minutes=1), billing="manual")
    command = await books.sold(5)
    refund = await books.ledger.refund(command, 2)
    assert ["done"] == [outcome.kind for outcome in await books.ledger.refunded(refund)]
    await books.flush()

    assert ([], []) == (books.stripe.calls, await books.reconcile())
    assert ["manual", "manual"] == await books.world.states("intents", "acme")
    page = await books.page()
    assert (3, 3, 0, None) == (page["ledger"], page["by_hand"], page["told"], page["counted"])
    (reply,) = books.worker.replies
    assert ("done", 0) == (reply.outcome.kind, reply.outcome.facts["sent"])


async def test_a_manual_plan_needs_no_customer_and_is_billed_however_late(books: Books) -> None:
    await says(books, DAYS_IN + timedelta(minutes=1), billing="manual")
    await books.world.admin.execute("UPDATE tenants SET stripe_customer = NULL")
    await books.delivered(5)
    await books.world.admin.execute("UPDATE tenants SET billing_anchor = billing_anchor - interval '31 days'")
    await books.by_hand("UPDATE ledger SET period_start = period_start - interval '31 days'")
    await books.flush()
    assert ["manual"] == await books.world.states("intents", "acme")


async def test_a_price_for_ever_is_no_terms(books: Books) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await books.world.admin.execute(
            "INSERT INTO plan_terms"
            " SELECT plan_id, '-infinity', 1, 'eur', 1, false, 'x', 'metered' FROM plans"
        )
