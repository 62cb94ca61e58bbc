"""Payments of invoices, and disputes about them. A customer disputes with the bank, so a dispute begins and
ends by the admin's word."""

from collections.abc import Mapping

from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page
from deploy.sandbox.wire import Json

STATUSES = (
    *("warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review"),
    *("won", "lost", "prevented"),
)


def paid(store: Store, invoice: Json, amount: int) -> None:
    """Notes that an invoice was paid through Stripe."""
    body = {
        "id": store.new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": amount,
        "amount_requested": amount,
        "created": store.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {
            "type": "payment_intent",
            "payment_intent": store.new_id("pi"),
            "charge": None,
            "payment_record": None,
        },
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": store.now},
    }
    store.create("invoice_payment", body, owner=invoice["id"])


def listed(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"invoice status {PAGE_PARAMS}")
    return page(store.all("invoice_payment", form.text("invoice")), "/v1/invoice_payments", form)


def list_disputes(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"charge payment_intent created {PAGE_PARAMS}")
    return page(store.all("dispute", form.text("payment_intent")), "/v1/disputes", form)


def dispute(store: Store, invoice: str, status: str) -> Json:
    """The customer disputes the invoice's payment, or the dispute goes on to another status."""
    if status not in STATUSES:
        raise refuse(f"Invalid status: must be one of {', '.join(STATUSES)}", param="status")
    payments = store.all("invoice_payment", invoice)
    if not payments:
        raise refuse("Nothing was paid that could be disputed.", param="invoice")
    intent = payments[0]["payment"]["payment_intent"]
    for known in store.all("dispute", intent):
        return store.save({**known, "status": status})
    body = {
        "id": store.new_id("dp"),
        "object": "dispute",
        "amount": payments[0]["amount_paid"],
        "charge": store.new_id("ch"),
        "created": store.now,
        "currency": payments[0]["currency"],
        "livemode": False,
        "metadata": {},
        "payment_intent": intent,
        "reason": "product_not_received",
        "status": status,
    }
    return store.create("dispute", body, owner=intent)
