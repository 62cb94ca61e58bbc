"""Revenue, model cost and margin by tenant and day, as whoever asks may see them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.kit.books import Books
from tests.kit.books import books as opened
from tests.kit.roles import as_role

pytestmark = pytest.mark.services

_CALL = """
INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, model, outcome, cost_usd, input_tokens,
    output_tokens, seconds, started_at)
VALUES ('acme', gen_random_uuid(), $1, 1, 1, 'm', $2, $3, 10, 5, 1, $4)
"""

DAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    async with opened(database_url) as found:
        yield found


async def a_day(books: Books, *, rate: str | None = "1.1") -> None:
    """Sold for 5.00 eur, of which 1.00 is refunded on the next day; two of three calls failed."""
    command = await books.sold(10)
    await books.ledger.refunded(await books.ledger.refund(command, 2))
    await books.by_hand(
        f"UPDATE ledger SET occurred_at = '{DAY}' WHERE kind = 'usage'",
        f"UPDATE ledger SET occurred_at = '{DAY + timedelta(hours=1)}' WHERE kind = 'reversal'",
    )
    for outcome, cost in (("answered", "0.30"), ("truncated", "0.20"), ("timed_out", None)):
        price = None if cost is None else Decimal(cost)
        await books.world.admin.execute(_CALL, command.saga_id, outcome, price, DAY)
    if rate is not None:
        for day, usd in (("2026-11-01", rate), ("2026-11-21", "2")):
            await books.world.admin.execute(
                f"INSERT INTO exchange_rates (currency, valid_from, usd) VALUES ('eur', '{day}', {usd})"
            )


async def rows(books: Books, view: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await books.world.admin.fetch(f"SELECT * FROM {view} ORDER BY day")]


async def test_revenue_is_net_of_refunds_on_the_day_on_which_they_are_given(books: Books) -> None:
    await a_day(books)
    first, second = await rows(books, "revenue_by_day")
    assert ("2026-11-20", "eur", 10, 0, Decimal(5)) == (
        str(first["day"]), first["currency"], first["delivered"], first["refunded"], first["revenue"],
    )  # fmt: skip
    assert ("2026-11-21", 0, 2, Decimal(-1)) == (
        str(second["day"]), second["delivered"], second["refunded"], second["revenue"],
    )  # fmt: skip


async def test_every_call_to_the_model_costs_failed_ones_too(books: Books) -> None:
    await a_day(books)
    (cost,) = await rows(books, "model_cost_by_day")
    assert (3, 2, 1, 30, Decimal("0.5")) == (
        cost["calls"], cost["failed_calls"], cost["unpriced_calls"], cost["input_tokens"], cost["cost_usd"],
    )  # fmt: skip


async def test_the_margin_is_in_dollars_at_the_rate_of_the_day(books: Books) -> None:
    await a_day(books)
    found = [
        (each["revenue_usd"], each["cost_usd"], each["margin_usd"])
        for each in await rows(books, "margin_by_day")
    ]
    assert [(Decimal("5.5"), Decimal("0.5"), Decimal("5.0")), (Decimal(-2), 0, Decimal(-2))] == found


async def test_without_a_rate_there_is_no_margin_rather_than_a_guess(books: Books) -> None:
    await a_day(books, rate=None)
    first, _ = await rows(books, "margin_by_day")
    assert (10, None, None, Decimal("0.5")) == (
        first["leads"], first["revenue_usd"], first["margin_usd"], first["cost_usd"],
    )  # fmt: skip


async def test_dollars_need_no_rate_and_a_day_without_sales_has_its_cost(books: Books) -> None:
    command = await books.sold(10)
    await books.by_hand("UPDATE ledger SET currency = 'usd'")
    await books.world.admin.execute(_CALL, command.saga_id, "failed", Decimal("0.2"), DAY)
    old, today = await rows(books, "margin_by_day")
    assert (0, Decimal("-0.2")) == (old["revenue_usd"], old["margin_usd"])
    assert (Decimal(5), Decimal(5)) == (today["revenue_usd"], today["margin_usd"])


@pytest.mark.parametrize("view", ["revenue_by_day", "model_cost_by_day", "margin_by_day"])
async def test_who_asks_sees_the_tenant_that_is_set_and_no_other(
    books: Books, database_url: str, view: str
) -> None:
    await a_day(books)
    operator = await asyncpg.connect(
        as_role(database_url, "leadsaga_operator"), server_settings={"search_path": "leadsaga"}
    )
    try:
        for tenant, wanted in (("acme", True), ("globex", False), ("", False)):
            await operator.execute("SELECT set_config('leadsaga.tenant_id', $1, false)", tenant)
            assert wanted == bool(await operator.fetch(f"SELECT FROM {view}"))
    finally:
        await operator.close()
