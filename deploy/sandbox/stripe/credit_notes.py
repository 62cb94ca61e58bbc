"""Credit notes: reduce what is open, or give back what is paid; never more than the invoice in sum."""

from collections.abc import Mapping

from deploy.sandbox.stripe import balance, invoices
from deploy.sandbox.stripe.credit_lines import credited_lines
from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page, whole
from deploy.sandbox.wire import Json

REASONS = ("duplicate", "fraudulent", "order_change", "product_unsatisfactory")
GIVING_BACK = ("credit_amount", "refund_amount", "out_of_band_amount")
PARAMS = (
    "amount lines memo reason metadata effective_at email_type credit_amount refund_amount out_of_band_amount"
)


def create(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    """Takes effect at once on the invoice, the customer's balance or the refund."""
    note = _built(store, form)
    invoice = invoices.fetched(store, note["invoice"])
    if credit := form.integer("credit_amount"):
        details = {"credit_note": note["id"], "invoice": invoice["id"]}
        entry = balance.post(store, note["customer"], -credit, note["currency"], "credit_note", details)
        note["customer_balance_transaction"] = entry["id"]
    if refund := form.integer("refund_amount"):
        note["refunds"] = [_refund(store, note, refund)]
    store.save(_credited(store, invoice, note))
    return store.create("credit_note", note, owner=invoice["id"])


def preview(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    return _built(store, form)


def retrieve(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return store.get("credit_note", ids["id"])


def listed(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"invoice customer {PAGE_PARAMS}")
    customer = form.text("customer")
    notes = [
        note
        for note in store.all("credit_note", form.text("invoice"))
        if customer in (None, note["customer"])
    ]
    return page(notes, "/v1/credit_notes", form)


def _built(store: Store, form: Form) -> Json:
    form.only("invoice", PARAMS)
    invoice = invoices.fetched(store, form.needed("invoice"), param="invoice")
    if invoice["status"] not in {"open", "paid"}:
        text = (
            f"A credit note can only be created for an open or paid invoice; this one is {invoice['status']}."
        )
        raise refuse(text, param="invoice")
    notes = store.all("credit_note", invoice["id"])
    identity = store.new_id("cn")
    lines = credited_lines(store, form, invoice, notes)
    amount = form.integer("amount")
    total = sum(line["amount"] for line in lines) if amount is None else amount
    if lines and total != sum(line["amount"] for line in lines):
        raise refuse("The amount must equal the sum of the lines.", param="amount")
    _check_sums(form, invoice, total, sum(note["total"] for note in notes))
    note = {
        "id": identity,
        "number": f"{invoice['number']}-CN-{len(notes) + 1:02d}",
        "lines": whole(lines, f"/v1/credit_notes/{identity}/lines"),
        **_money(invoice, total),
        **_texts(store, form),
    }
    return {**note, "out_of_band_amount": form.integer("out_of_band_amount")}


def _check_sums(form: Form, invoice: Json, total: int, credited: int) -> None:
    if total <= 0:
        raise refuse("The credit note's amount must be greater than 0.", param="amount")
    if credited + total > invoice["total"]:
        left = invoice["total"] - credited
        raise refuse(
            f"The sum of credit note amounts cannot exceed the invoice: {left} is left, not {total}."
        )
    given = {name: form.integer(name) or 0 for name in GIVING_BACK}
    if min(given.values()) < 0:
        raise refuse("The amounts to give back must not be negative.")
    if invoice["status"] == "open":
        if sum(given.values()):
            raise refuse("An unpaid invoice has nothing to refund or to credit to the balance.")
        if total > invoice["amount_remaining"]:
            raise refuse(f"The credit note exceeds the amount remaining of {invoice['amount_remaining']}.")
        return
    if sum(given.values()) != total:
        raise refuse(
            f"The sum of credit amount, refund amount and out of band amount ({sum(given.values())})"
            f" must equal the credit note amount ({total})."
        )
    if given["refund_amount"] > invoice["amount_paid"]:
        raise refuse("The refund exceeds the amount paid.", param="refund_amount")


def _money(invoice: Json, total: int) -> Json:
    paid = invoice["status"] == "paid"
    return {
        "amount": total,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
        "pre_payment_amount": 0 if paid else total,
        "post_payment_amount": total if paid else 0,
        "type": "post_payment" if paid else "pre_payment",
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "invoice": invoice["id"],
    }


def _texts(store: Store, form: Form) -> Json:
    return {
        "object": "credit_note",
        "created": store.now,
        "amount_shipping": 0,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": form.integer("effective_at") or store.now,
        "livemode": False,
        "memo": form.text("memo"),
        "metadata": form.metadata(),
        "pdf": "",
        "pretax_credit_amounts": [],
        "reason": form.one_of("reason", *REASONS),
        "refunds": [],
        "status": "issued",
        "total_taxes": [],
        "voided_at": None,
    }


def _refund(store: Store, note: Json, amount: int) -> Json:
    refund = {
        "id": store.new_id("re"),
        "object": "refund",
        "amount": amount,
        "created": store.now,
        "currency": note["currency"],
        "metadata": {},
        "reason": "requested_by_customer",
        "status": "succeeded",
    }
    store.create("refund", refund, owner=note["invoice"])
    return {
        "amount_refunded": amount,
        "payment_record_refund": None,
        "refund": refund["id"],
        "type": "refund",
    }


def _credited(store: Store, invoice: Json, note: Json) -> Json:
    if invoice["status"] == "paid":
        amount = invoice["post_payment_credit_notes_amount"] + note["total"]
        return {**invoice, "post_payment_credit_notes_amount": amount}
    changes = {
        "pre_payment_credit_notes_amount": invoice["pre_payment_credit_notes_amount"] + note["total"],
        "amount_remaining": invoice["amount_remaining"] - note["total"],
        "amount_due": invoice["amount_due"] - note["total"],
    }
    invoice = {**invoice, **changes}
    return invoice if invoice["amount_remaining"] else invoices.settled(store, invoice)
