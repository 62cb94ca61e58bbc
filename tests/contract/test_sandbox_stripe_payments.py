"""Payments of invoices at the stand-in for Stripe, their disputes, and invoices that nobody owes any more."""

import pytest
import stripe

from deploy.sandbox.client import SandboxAdmin
from tests.kit.sandbox import Shop


async def invoiced(shop: Shop) -> stripe.Invoice:
    await shop.report("e-1", 10)
    draft = await shop.sdk.v1.invoices.create_async({"customer": shop.customer})
    return await shop.sdk.v1.invoices.finalize_invoice_async(draft.id)


async def test_what_was_paid_can_be_disputed_and_the_dispute_goes_on(shop: Shop, admin: SandboxAdmin) -> None:
    invoice = await invoiced(shop)
    await shop.sdk.v1.invoices.pay_async(invoice.id)
    (paid,) = (await shop.sdk.v1.invoice_payments.list_async({"invoice": invoice.id})).data
    assert (500, "payment_intent") == (paid.amount_paid, paid.payment.type)
    intent = str(paid.payment.payment_intent)
    assert [] == (await shop.sdk.v1.disputes.list_async({"payment_intent": intent})).data

    made = await admin.dispute(invoice.id)
    await admin.dispute(invoice.id, "won")
    (found,) = (await shop.sdk.v1.disputes.list_async({"payment_intent": intent})).data
    assert (made["id"], "won", 500) == (found.id, found.status, found.amount)


async def test_what_nobody_paid_cannot_be_disputed(shop: Shop, admin: SandboxAdmin) -> None:
    invoice = await invoiced(shop)
    with pytest.raises(Exception, match="400"):
        await admin.dispute(invoice.id)
    assert [] == (await shop.sdk.v1.invoice_payments.list_async({"invoice": invoice.id})).data


async def test_only_an_open_invoice_can_be_voided(shop: Shop) -> None:
    invoice = await invoiced(shop)
    voided = await shop.sdk.v1.invoices.void_invoice_async(invoice.id)
    assert ("void", 0) == (voided.status, voided.amount_remaining)
    with pytest.raises(stripe.InvalidRequestError, match="this one is void"):
        await shop.sdk.v1.invoices.void_invoice_async(invoice.id)


async def test_invoices_are_listed_by_the_time_they_were_made(shop: Shop) -> None:
    invoice = await invoiced(shop)
    for since, expected in ((invoice.created, [invoice.id]), (invoice.created + 1, [])):
        listed = await shop.sdk.v1.invoices.list_async({"customer": shop.customer, "created": {"gte": since}})
        assert expected == [each.id for each in listed.data]
