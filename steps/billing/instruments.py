"""How a refund reaches Stripe, by where the invoice of its usage stands. Pure.

docs.stripe.com, "Configure meters", "Credit notes": a draft follows the meter, so a negative event lowers it;
a final invoice follows nothing, and only a credit note changes what it asks for or has taken. A refund
beside a dispute could pay twice.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from contracts.errors import StepRejected
from contracts.facts import Instrument
from steps.clients.billing import Invoice, in_smallest_unit


def choose(invoice: Invoice | None, *, period_open: bool, in_grace: bool) -> Instrument:
    """`in_grace`: if the period is over, its invoice may still have to be drafted. Raises StepRejected for
    what a person has to decide; nothing was done then."""
    if invoice is None:
        if period_open:
            return "nets_out"
        return "negative_event" if in_grace else "balance_credit"
    if invoice.dispute is not None:
        raise StepRejected(
            f"held: a payment of invoice {invoice.invoice} is disputed ({invoice.dispute}), and to refund it "
            "as well could pay twice",
            error="Disputed",
        )
    match invoice.status:
        case "draft":
            return "negative_event"
        case "open" | "paid":
            return "credit_note"
        case other:
            raise StepRejected(
                f"held: invoice {invoice.invoice} is {other}, so nobody has paid for these leads, or will",
                error="NothingOwed",
            )


def counted(invoice: Invoice, told: int, value: int) -> bool | None:
    """Whether the final invoice counts an event of `value`, of `told` leads that Stripe was told in all for
    its period; None when its number fits neither. A total below zero is billed as none."""
    if invoice.quantity == max(0, told):
        return True
    return False if invoice.quantity == max(0, told - value) else None


@dataclass(frozen=True, slots=True)
class Money:
    """In the currency's smallest unit. `tax` comes on top of `amount`."""

    amount: int
    tax: int


def share_of_line(invoice: Invoice, *, leads: int, before: int) -> Money:
    """What `leads` leads of the line cost, when `before` of it are given back already. All shares add up to
    the line, whatever is rounded. Raises StepRejected for more than it has."""
    if before + leads > invoice.quantity:
        raise StepRejected(
            f"invoice {invoice.invoice} counts {invoice.quantity} leads, and {before} of them are given "
            f"back: not {leads} more",
            error="NotOnInvoice",
        )

    def share(whole: int) -> int:
        return _part(whole, before + leads, invoice.quantity) - _part(whole, before, invoice.quantity)

    return Money(share(invoice.amount), share(invoice.tax))


def price_of(unit_price: Decimal, currency: str, *, leads: int, before: int) -> Money:
    """What `leads` leads were sold for, when `before` of the same delivery are given back already."""
    unit = in_smallest_unit(unit_price, currency)

    def price(count: int) -> int:
        return int((unit * count).quantize(Decimal(1), ROUND_HALF_UP))

    return Money(price(before + leads) - price(before), 0)


def _part(whole: int, part: int, of: int) -> int:
    return int((Decimal(whole) * part / of).quantize(Decimal(1), ROUND_HALF_UP))
