"""What a payment provider tells of usage sent to it, and how it writes money."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from contracts.errors import StepUnknown


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took the event now."""

    request_id: str | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The provider had an event with this identifier already: an earlier try landed."""

    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice and its line for a meter's usage at some moment. Money in the currency's smallest unit; of
    one that is not final yet, as it stands."""

    invoice: str
    status: str
    """draft, open, paid, void or uncollectible."""
    line: str
    start: datetime
    end: datetime
    quantity: int
    amount: int
    """Of the line, without tax."""
    tax: int
    """On top of it."""
    currency: str
    dispute: str | None = None
    """A payment of the invoice that its customer contests, or has contested with success."""


class UsageUnknown(StepUnknown):
    """The provider may have the event. The same identifier may be sent again while it is remembered (24 h).

    `stored`: this failure is kept under the idempotency key and would only be repeated, so the next try needs
    a new key; the identifier still protects.
    """

    def __init__(self, reason: str, *, error: str | None = None, stored: bool = False) -> None:
        super().__init__(reason, error=error)
        self.stored = stored


# docs.stripe.com/currencies: where one unit is not made of a hundred smaller ones.
WHOLE = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())  # noqa: SIM905 - a table
THOUSANDS = frozenset("bhd jod kwd omn tnd".split())  # noqa: SIM905 - a table


def in_smallest_unit(amount: Decimal, currency: str) -> Decimal:
    """Cents of dollars, yen of yen. Not rounded: a lead may cost fractions of a cent."""
    if currency in WHOLE:
        return amount
    return amount * (1000 if currency in THOUSANDS else 100)
