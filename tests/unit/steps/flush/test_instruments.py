"""The choice of what gives a refund back, and the money it is worth."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StepRejected
from steps.billing.instruments import choose, counted, price_of, share_of_line
from steps.clients.billing import Invoice

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def invoice(
    status: str = "open", *, quantity: int = 10, amount: int = 500, tax: int = 0, dispute: str | None = None
) -> Invoice:
    return Invoice(
        invoice="in_1", status=status, line="il_1", start=NOW, end=NOW, quantity=quantity, amount=amount,
        tax=tax, currency="eur", dispute=dispute,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "period_open", "in_grace", "expected"),
    [
        (None, True, True, "nets_out"),
        (None, False, True, "negative_event"),
        (None, False, False, "balance_credit"),
        (invoice("draft"), False, False, "negative_event"),
        (invoice("draft"), True, True, "negative_event"),
        (invoice("open"), True, True, "credit_note"),
        (invoice("paid"), False, False, "credit_note"),
    ],
)
def test_the_state_of_the_invoice_decides(
    found: Invoice | None, period_open: bool, in_grace: bool, expected: str
) -> None:
    assert expected == choose(found, period_open=period_open, in_grace=in_grace)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (invoice("paid", dispute="dp_1"), "Disputed"),
        (invoice("void"), "NothingOwed"),
        (invoice("uncollectible"), "NothingOwed"),
    ],
)
def test_what_a_person_has_to_decide_is_held(found: Invoice, error: str) -> None:
    with pytest.raises(StepRejected) as held:
        choose(found, period_open=False, in_grace=False)
    assert error == held.value.error
    assert held.value.reason.startswith("held: ")


@pytest.mark.parametrize(
    ("quantity", "told", "value", "expected"),
    [
        (6, 6, -4, True),
        (10, 6, -4, False),
        (8, 6, -4, None),
        (0, -2, -2, True),
        (0, -2, -4, True),
        (2, -2, -4, False),
    ],
)
def test_an_event_counts_if_the_final_invoice_has_it(
    quantity: int, told: int, value: int, expected: bool | None
) -> None:
    assert expected is counted(invoice(quantity=quantity), told, value)


@given(st.integers(0, 10_000), st.integers(0, 3_000), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_shares_of_a_line_add_up_to_it_whatever_is_rounded(amount: int, tax: int, parts: list[int]) -> None:
    line = invoice(quantity=sum(parts), amount=amount, tax=tax)
    money = [share_of_line(line, leads=leads, before=sum(parts[:index])) for index, leads in enumerate(parts)]
    assert (amount, tax) == (sum(each.amount for each in money), sum(each.tax for each in money))
    assert min(min(each.amount, each.tax) for each in money) >= 0
    with pytest.raises(StepRejected, match="not 1 more"):
        share_of_line(line, leads=1, before=sum(parts))


@given(st.decimals("0", "9.9999", places=4), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_prices_of_parts_add_up_to_the_price_of_all(price: Decimal, parts: list[int]) -> None:
    money = [
        price_of(price, "eur", leads=leads, before=sum(parts[:index])).amount
        for index, leads in enumerate(parts)
    ]
    assert price_of(price, "eur", leads=sum(parts), before=0).amount == sum(money)


def test_yen_have_no_smaller_unit() -> None:
    assert (200, 2) == tuple(
        price_of(Decimal("0.50"), currency, leads=4, before=0).amount for currency in ("eur", "jpy")
    )
