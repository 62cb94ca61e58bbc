"""Refunds of usage that is invoiced already: what is done so that a process comes by their crash points."""

from tests.crash.points_scenes import IsRefunded
from tests.kit.asking import delivered, lead_request, refund_of
from tests.kit.system import METER, PRICE


class IsRefundedFromAnInvoice(IsRefunded):
    """Of a final invoice: a credit note gives it back, once."""

    invoice: str

    async def prepare(self) -> None:
        billing = self.system.billing
        self.tenant = await self.system.tenant()
        meter = await billing.ensure_meter(METER)
        plan = self.tenant.tenant_id
        price = await billing.ensure_price(plan, meter=meter, price_per_lead=PRICE, currency="eur")
        await billing.ensure_subscription(self.tenant.customer, price)
        self.request = lead_request(self.tenant)
        await delivered(self.system, self.request)
        self.refund = refund_of(self.request, leads=1)
        draft = await billing.sdk.v1.invoices.create_async({"customer": self.tenant.customer})
        self.invoice = draft.id
        await self._invoiced()

    async def _invoiced(self) -> None:
        await self.system.billing.sdk.v1.invoices.finalize_invoice_async(self.invoice)

    async def ends(self) -> None:
        await super().ends()
        notes = await self.system.billing.sdk.v1.credit_notes.list_async({"invoice": self.invoice})
        assert 1 == len(notes.data), f"{self.point}: {len(notes.data)} credit notes"


class ItsNoteIsLost(IsRefundedFromAnInvoice):
    """The note is made, and the answer to it does not arrive."""

    async def act(self) -> None:
        await self.system.sandbox.fault(
            "stripe.credit_notes", method="POST", match=self.invoice, drop="after", times=1
        )
        await super().act()


class ItsDraftBecomesFinal(IsRefundedFromAnInvoice):
    """After Stripe took the event, and before it is known that it did."""

    async def _invoiced(self) -> None:
        """Not yet."""

    async def act(self) -> None:
        fault = await self.system.sandbox.fault(
            "stripe.meter_events", match=self.tenant.customer, drop="after"
        )
        await super().act()
        await self.system.until_sql(
            "SELECT count(*) > 0 FROM intents WHERE tenant_id = $1 AND state = 'sending' AND value < 0",
            self.tenant.tenant_id,
        )
        await super()._invoiced()
        await self.system.sandbox.clear_faults(fault)

    async def ends(self) -> None:
        await self._hears("refunded", self.refund)
