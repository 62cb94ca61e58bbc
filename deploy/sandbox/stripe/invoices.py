"""Invoices: a draft follows its period's usage until finalised; then only credit notes change it."""

import math
from collections.abc import Mapping

from deploy.sandbox.stripe import balance, payments
from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.invoice_lines import open_lines, refreshed
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page, whole
from deploy.sandbox.wire import Json


def create(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    """Closes the current period of the customer's subscriptions (or of one) and drafts the invoice for it."""
    form.only(
        "customer",
        "subscription auto_advance collection_method currency days_until_due description metadata"
        " pending_invoice_items_behavior",
    )
    customer = store.get("customer", form.needed("customer"), param="customer")
    subscription = form.text("subscription")
    if subscription is not None:
        store.get("subscription", subscription, param="subscription")
    identity = store.new_id("in")
    lines = open_lines(store, customer["id"], subscription, identity)
    if not lines:
        raise refuse(
            "Nothing to invoice for customer", code="invoice_no_customer_line_items", param="customer"
        )
    body = _draft(store, form, customer, identity, lines)
    store.create("invoice", body, owner=customer["id"])
    return current(store, body)


def current(store: Store, invoice: Json) -> Json:
    """The invoice as it stands; a draft is recounted."""
    if invoice["status"] != "draft":
        return invoice
    lines = [refreshed(store, invoice["customer"], line) for line in invoice["lines"]["data"]]
    total = sum(line["amount"] for line in lines)
    amounts = dict.fromkeys(
        ("subtotal", "total", "amount_due", "amount_remaining", "total_excluding_tax"), total
    )
    return {**invoice, **amounts, "lines": whole(lines, invoice["lines"]["url"])}


def fetched(store: Store, identity: str, param: str | None = None) -> Json:
    return current(store, store.get("invoice", identity, param))


def retrieve(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return fetched(store, ids["id"])


def listed(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"created customer status subscription {PAGE_PARAMS}")
    status, subscription = form.text("status"), form.text("subscription")
    since, until = created(form)
    found = [
        invoice
        for invoice in store.all("invoice", form.text("customer"))
        if status in (None, invoice["status"])
        and since <= invoice["created"] <= until
        and (
            subscription is None
            or any(line["subscription"] == subscription for line in invoice["lines"]["data"])
        )
    ]
    return page(found, "/v1/invoices", form, lambda invoice: current(store, invoice))


def created(form: Form) -> tuple[float, float]:
    """The filter `created`: from and to, both included."""
    span = form.inner("created")
    span.only(optional="gte lte")
    since, until = span.integer("gte"), span.integer("lte")
    return -math.inf if since is None else since, math.inf if until is None else until


def lines(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only(optional=PAGE_PARAMS)
    invoice = fetched(store, ids["id"])
    return page(invoice["lines"]["data"], invoice["lines"]["url"], form)


def finalize(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """Freezes the lines and uses the customer's credit; with nothing left to pay it is paid at once."""
    form.only(optional="auto_advance")
    invoice = fetched(store, ids["id"])
    if invoice["status"] != "draft":
        raise refuse(
            "This invoice is already finalized, you can't finalize it again.", code="invoice_not_editable"
        )
    customer = store.get("customer", invoice["customer"])
    starting: int = customer["balance"]
    due = max(0, invoice["total"] + starting)
    applied = due - invoice["total"]
    if applied:
        details = {"invoice": invoice["id"]}
        balance.post(store, customer["id"], -applied, invoice["currency"], "applied_to_invoice", details)
    customer = store.get("customer", customer["id"])
    sequence: int = customer["next_invoice_sequence"]
    store.save({**customer, "next_invoice_sequence": sequence + 1})
    changes = {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{sequence:04d}",
        "starting_balance": starting,
        "ending_balance": customer["balance"],
        "amount_due": due,
        "amount_remaining": due,
        "effective_at": store.now,
        "status_transitions": {**invoice["status_transitions"], "finalized_at": store.now},
    }
    invoice = {**invoice, **changes}
    return store.save(invoice if due else settled(store, invoice))


def pay(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """Always succeeds for a finalised, unpaid invoice; a draft is finalised first."""
    form.only(optional="paid_out_of_band off_session payment_method forgive source")
    invoice = fetched(store, ids["id"])
    if invoice["status"] == "draft":
        invoice = finalize(store, Form({}), ids)
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise refuse("Invoice is already paid")
    paid = {
        "amount_paid": invoice["amount_remaining"],
        "attempted": True,
        "attempt_count": 1,
        "amount_remaining": 0,
    }
    if form.flag("paid_out_of_band"):
        paid["amount_paid_off_stripe"] = paid["amount_paid"]
    else:
        payments.paid(store, invoice, paid["amount_paid"])
    return store.save(settled(store, {**invoice, **paid}))


def void(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """Nobody owes it any more. Only an open one can be voided."""
    form.only()
    invoice = fetched(store, ids["id"])
    if invoice["status"] != "open":
        raise refuse(f"You can only void an open invoice; this one is {invoice['status']}.")
    transitions = {**invoice["status_transitions"], "voided_at": store.now}
    return store.save({**invoice, "status": "void", "amount_remaining": 0, "status_transitions": transitions})


def settled(store: Store, invoice: Json) -> Json:
    transitions = {**invoice["status_transitions"], "paid_at": store.now}
    return {**invoice, "status": "paid", "status_transitions": transitions}


def _draft(store: Store, form: Form, customer: Json, identity: str, lines: list[Json]) -> Json:
    return {
        "id": identity,
        "object": "invoice",
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": None,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": form.flag("auto_advance"),
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "billing_reason": "manual",
        "collection_method": form.text("collection_method") or "charge_automatically",
        "created": store.now,
        "currency": lines[0]["currency"],
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "default_tax_rates": [],
        "description": form.text("description"),
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "issuer": {"type": "self"},
        "lines": whole(lines, f"/v1/invoices/{identity}/lines"),
        "livemode": False,
        "metadata": form.metadata(),
        "next_payment_attempt": None,
        "number": None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": lines[0]["subscription"]},
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_start": min(line["period"]["start"] for line in lines),
        "period_end": max(line["period"]["end"] for line in lines),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": customer["balance"],
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "total": 0,
        "total_excluding_tax": 0,
        "total_discount_amounts": [],
        "total_taxes": [],
    }
