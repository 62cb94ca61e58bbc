"""Stripe's invoices and what gives money back: credit notes, and credit on a customer's balance.

Sources: docs.stripe.com, "Credit notes", "Customer balance", API reference of invoice payments and disputes.
Notes and balance transactions can be listed at once after they were made, unlike meter events; ours are found
by the id in their metadata.
"""

from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from contracts.process import crash
from steps.clients.billing import Invoice
from steps.clients.stripe import Billing, StripeSettings, asked, every, opened

T = TypeVar("T")

REFERENCE = "leadsaga_credit"
"""Our id, in the metadata of what we make."""

HARMLESS = frozenset({"won", "warning_closed", "prevented"})
"""States of a dispute in which the payment is ours. Of a lost one the customer has the money already."""

CLOCKS_APART = 3600
"""Seconds, at most. An invoice is made after the usage that it bills."""

PAGE = 100


@dataclass(frozen=True, slots=True)
class RefundingBilling(Billing):
    """Every method raises StepTransient (surely nothing happened), StepUnknown or StepRejected."""

    async def invoice_of(self, customer: str, event_name: str, at: datetime) -> Invoice | None:
        """The invoice that bills, or is about to bill, the meter's usage at that moment; None when there is
        none yet. One that was voided counts only when nothing took its place."""
        since = int(at.timestamp()) - CLOCKS_APART
        found = None
        for invoice in await looked_up(
            every(
                self.sdk.v1.invoices.list_async(
                    {"customer": customer, "limit": PAGE, "created": {"gte": since}}
                )
            )
        ):
            line = await self._line(invoice, event_name, at)
            if line is not None and (found is None or found.status == "void"):
                found = line
        return found

    async def _line(self, invoice: Any, event_name: str, at: datetime) -> Invoice | None:
        for line in await looked_up(
            every(self.sdk.v1.invoices.line_items.list_async(invoice.id, {"limit": PAGE}))
        ):
            if not line.period.start <= at.timestamp() < line.period.end:
                continue
            details = line.pricing.price_details if line.pricing else None
            if details is not None and await self._meter_name(str(details.price)) == event_name:
                return await self._found(invoice, line)
        return None

    async def _meter_name(self, price: str) -> str | None:
        recurring = (await looked_up(asked(self.sdk.v1.prices.retrieve_async(price)))).recurring
        if recurring is None or recurring.meter is None:
            return None
        return (await looked_up(asked(self.sdk.v1.billing.meters.retrieve_async(recurring.meter)))).event_name

    async def _found(self, invoice: Any, line: Any) -> Invoice:
        final = invoice.status in {"open", "paid"}
        taxes = [tax.amount for tax in line.taxes or () if tax.tax_behavior == "exclusive"]
        return Invoice(
            invoice=invoice.id,
            status=invoice.status,
            line=line.id,
            start=datetime.fromtimestamp(line.period.start, UTC),
            end=datetime.fromtimestamp(line.period.end, UTC),
            quantity=line.quantity or 0,
            amount=line.amount,
            tax=sum(taxes),
            currency=line.currency,
            dispute=await self._dispute(invoice.id) if final else None,
        )

    async def _dispute(self, invoice: str) -> str | None:
        for paid in await looked_up(
            every(self.sdk.v1.invoice_payments.list_async({"invoice": invoice, "limit": PAGE}))
        ):
            if paid.payment.payment_intent is None:
                continue  # paid by other means than through Stripe, where nobody disputes
            for dispute in await looked_up(
                every(self.sdk.v1.disputes.list_async({"payment_intent": str(paid.payment.payment_intent)}))
            ):
                if dispute.status not in HARMLESS:
                    return str(dispute.id)
        return None

    async def make_credit_note(  # noqa: PLR0913 - a note's parts
        self,
        *,
        reference: str,
        invoice: str,
        line: str,
        amount: int,
        tax: int,
        paid: bool,
        idempotency_key: str,
    ) -> str:
        """The note's id. It lowers what is open of an unpaid invoice; of a paid one `amount` and `tax` become
        credit on the customer's balance, which the next invoice uses."""
        given = {"credit_amount": amount + tax} if paid else {}
        note = await looked_up(
            asked(
                self.sdk.v1.credit_notes.create_async(
                    {
                        "invoice": invoice,
                        "lines": [{"type": "invoice_line_item", "invoice_line_item": line, "amount": amount}],
                        "reason": "product_unsatisfactory",
                        "metadata": {REFERENCE: reference},
                        **given,  # type: ignore[typeddict-item]  # mypy cannot follow it
                    },
                    {"idempotency_key": idempotency_key},
                )
            )
        )
        return note.id

    async def find_credit_note(self, invoice: str, reference: str) -> str | None:
        notes = await looked_up(
            every(self.sdk.v1.credit_notes.list_async({"invoice": invoice, "limit": PAGE}))
        )
        return _ours(notes, reference)

    async def credit_balance(
        self, *, reference: str, customer: str, amount: int, currency: str, idempotency_key: str
    ) -> str:
        """The transaction's id. `amount` is what the customer's next invoices cost less."""
        entry = await looked_up(
            asked(
                self.sdk.v1.customers.balance_transactions.create_async(
                    customer,
                    {
                        "amount": -amount,
                        "currency": currency,
                        "description": "Leads that were given back",
                        "metadata": {REFERENCE: reference},
                    },
                    {"idempotency_key": idempotency_key},
                )
            )
        )
        return entry.id

    async def find_balance_credit(self, customer: str, reference: str) -> str | None:
        entries = await looked_up(
            every(self.sdk.v1.customers.balance_transactions.list_async(customer, {"limit": PAGE}))
        )
        return _ours(entries, reference)


def _ours(made: Sequence[Any], reference: str) -> str | None:
    for each in made:
        if each.metadata and each.metadata.to_dict().get(REFERENCE) == reference:
            return str(each.id)
    return None


async def looked_up(call: Awaitable[T]) -> T:
    async with crash.around("call.stripe_refunds", "answered"):
        return await call


def open_billing(settings: StripeSettings | None = None) -> AbstractAsyncContextManager[RefundingBilling]:
    """Raises BadSettings when there is neither a key nor a stand-in."""
    return opened(RefundingBilling, settings)
