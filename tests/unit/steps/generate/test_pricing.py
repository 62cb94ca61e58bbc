"""What a call cost, in Decimal; what cannot be priced keeps its tokens and is flagged."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from steps.leads.pricing import PRICE_BOOK, Cost, cost_of

AT = datetime(2026, 11, 21, tzinfo=UTC)
USAGE = {"input_tokens": 100, "output_tokens": 50}


def test_a_known_model_is_priced_by_the_price_book() -> None:
    expected = Cost(
        input_tokens=100,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=50,
        usd=Decimal("0.0007"),
        priced_by=PRICE_BOOK,
    )
    assert expected == cost_of("claude-sonnet-5-5", USAGE, AT)


def test_a_dated_release_costs_what_its_model_costs() -> None:
    assert Decimal("0.0007") == cost_of("claude-sonnet-5-5-20261001", USAGE, AT).usd


def test_input_includes_cache_reads_and_both_kinds_of_cache_writes() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    cost = cost_of("claude-sonnet-5-5", usage, AT)
    # Per million: 100 at 2, 7 read at 0.1, 10 written at 2.5, 20 written for an hour at 4, 50 out at 10.
    by_hand = (100 * 2 + 7 * Decimal("0.1") + 10 * Decimal("2.5") + 20 * 4 + 50 * 10) / 1_000_000
    assert (137, 7, 30, by_hand) == (
        cost.input_tokens,
        cost.cache_read_tokens,
        cost.cache_write_tokens,
        cost.usd,
    )


def test_an_unknown_model_keeps_its_tokens_without_a_price() -> None:
    cost = cost_of("claude-of-tomorrow", USAGE, AT)
    assert (100, 50, None, None, True) == (
        cost.input_tokens,
        cost.output_tokens,
        cost.usd,
        cost.priced_by,
        cost.unpriced,
    )


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None}, {"input_tokens": "many"}])
def test_usage_that_cannot_be_read_is_unpriced_and_never_fails(usage: dict[str, Any]) -> None:
    cost = cost_of("claude-sonnet-5-5", usage, AT)
    assert (None, True) == (cost.usd, cost.unpriced)
