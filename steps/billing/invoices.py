"""An invoice's quantity and money against what Stripe was told, and at which prices."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from steps.billing.books import Books, Page, Send, sagas_of, worth
from steps.billing.compare import expected, possible
from steps.billing.drift import Finding
from steps.clients.billing import Invoice, in_smallest_unit
from steps.runtime.step import Connection

NO_INVOICE_HOURS = 72
"""After the end of a period. No grace at Stripe is longer."""

MOST_INVOICES = 10
"""Of one customer in one period."""

Find = Callable[[datetime], Awaitable[Invoice | None]]
"""The invoice that bills usage of that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoiced:
    customer: str
    invoices: tuple[Invoice, ...]
    missing: bool
    """Some usage is on none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """`owed` is what the ledger's prices come to. Both in the smallest unit of `currency`."""

    invoiced: int
    charged: int
    owed: int
    currency: str


async def read_invoices(books: Books, page: Page, customer: str, find: Find) -> Invoiced | None:
    """None before the period has ended: a period has its invoice then. Goes back from the last usage, since
    a subscription that was cancelled is invoiced in mid-period."""
    sends = _billed(books, page, customer, *page.span)
    if page.period_end > books.now or not sends:
        return None
    found: list[Invoice] = []
    for _ in range(MOST_INVOICES):
        at = max(send.event_at for send in sends)
        invoice = await find(at)
        if invoice is None:
            return Invoiced(customer=customer, invoices=tuple(found), missing=True)
        found.append(invoice)
        sends = [send for send in sends if send.event_at < invoice.start]
        if not sends:
            break
    return Invoiced(customer=customer, invoices=tuple(found), missing=False)


def _billed(books: Books, page: Page, customer: str, start: datetime, end: datetime) -> list[Send]:
    return [send for send in books.sends(customer, page.event_name, start, end) if not send.void]


async def judge_invoices(
    connection: Connection, tenant_id: str, books: Books, page: Page, read: Invoiced
) -> tuple[list[Finding], list[Money]]:
    found, money = [], []
    for invoice in read.invoices:
        if invoice.status == "void":
            continue
        sends = _billed(books, page, read.customer, invoice.start, invoice.end)
        sagas = await sagas_of(connection, tenant_id, sends)
        prices = await worth(connection, tenant_id, [send for send in sends if send.confirmed])
        of_invoice = _money(invoice, prices)
        money.append(of_invoice)
        if (finding := _differs(invoice, sends, of_invoice, set(prices))) is not None:
            found.append(replace(finding, sagas=tuple(sagas)))
    late = books.now > page.period_end + timedelta(hours=NO_INVOICE_HOURS)
    if read.missing and late and page.told > 0:
        found.append(await _never(connection, tenant_id, page, read))
    return found, money


async def _never(connection: Connection, tenant_id: str, page: Page, read: Invoiced) -> Finding:
    return Finding(
        kind="invoiced",
        subject=f"{page.event_name} {page.period_start:%Y-%m-%d} {read.customer}",
        expected=page.told,
        found=sum(invoice.quantity for invoice in read.invoices),
        reason=f"{NO_INVOICE_HOURS} hours after its end the period has usage that is on no invoice",
        sagas=tuple(await sagas_of(connection, tenant_id, page.sends)),
    )


def _money(invoice: Invoice, prices: dict[str, Decimal]) -> Money:
    """Rounded once, as Stripe rounds a line."""
    units = in_smallest_unit(prices.get(invoice.currency, Decimal(0)), invoice.currency)
    owed = max(0, int(units.quantize(Decimal(1), rounding=ROUND_HALF_UP)))
    return Money(invoiced=invoice.quantity, charged=invoice.amount, owed=owed, currency=invoice.currency)


def _differs(invoice: Invoice, sends: list[Send], money: Money, currencies: set[str]) -> Finding | None:
    told = max(0, expected(sends))
    subject = f"{invoice.invoice} {invoice.line}"
    if invoice.quantity != told:
        if invoice.status == "draft" and possible(invoice.quantity, sends):
            return None
        reason = f"Stripe was told {told} leads, the invoice ({invoice.status}) bills {invoice.quantity}"
        return Finding(kind="invoiced", subject=subject, expected=told, found=invoice.quantity, reason=reason)
    if money.charged == money.owed and currencies <= {money.currency}:
        return None
    reason = f"{money.owed} are owed by the ledger's prices ({', '.join(sorted(currencies))}), the invoice "
    reason += f"({invoice.status}) charges {money.charged} {money.currency}, in the smallest unit"
    return Finding(kind="charged", subject=subject, expected=money.owed, found=money.charged, reason=reason)
