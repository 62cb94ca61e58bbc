"""Lines of a credit note: parts of an invoice's lines, or lines of their own."""

from decimal import ROUND_HALF_UP, Decimal

from deploy.sandbox.stripe.errors import missing, refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.wire import Json


def credited_lines(store: Store, form: Form, invoice: Json, notes: list[Json]) -> list[Json]:
    """Refuses to credit more of an invoice's line than earlier notes and earlier rows have left of it."""
    lines: list[Json] = []
    earlier = [line for note in notes for line in note["lines"]["data"]]
    for row in form.rows("lines"):
        row.only("type", "invoice_line_item quantity amount unit_amount description metadata")
        kind = row.one_of("type", "invoice_line_item", "custom_line_item")
        if kind == "custom_line_item":
            lines.append(_custom(store, row))
        else:
            lines.append(_part(store, row, invoice, earlier + lines))
    return lines


def _custom(store: Store, row: Form) -> Json:
    quantity, unit = row.integer("quantity") or 1, row.needed_integer("unit_amount")
    return _line(store, row, quantity * unit, quantity, {"type": "custom_line_item", "unit_amount": unit})


def _part(store: Store, row: Form, invoice: Json, earlier: list[Json]) -> Json:
    identity = row.needed("invoice_line_item")
    source = next((line for line in invoice["lines"]["data"] if line["id"] == identity), None)
    if source is None:
        raise missing("invoice line item", identity, param="lines[invoice_line_item]")
    before = [line for line in earlier if line["invoice_line_item"] == identity]
    quantity, amount = row.integer("quantity"), row.integer("amount")
    if (quantity is None) == (amount is None):
        raise refuse("A line needs either a quantity or an amount.", param="lines")
    if amount is None:
        assert quantity is not None
        left = source["quantity"] - sum(line["quantity"] or 0 for line in before)
        if not 0 < quantity <= left:
            raise refuse(f"The quantity must be between 1 and {left}.", param="lines[quantity]")
        share = Decimal(source["amount"]) * quantity / source["quantity"]
        amount = int(share.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if amount > source["amount"] - sum(line["amount"] for line in before):
        raise refuse("The amount exceeds what is left of the invoice's line.", param="lines[amount]")
    details = {
        "type": "invoice_line_item",
        "invoice_line_item": identity,
        "description": source["description"],
    }
    return _line(store, row, amount, quantity, details)


def _line(store: Store, row: Form, amount: int, quantity: int | None, details: Json) -> Json:
    return {
        "id": store.new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": row.text("description"),
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": None,
        "livemode": False,
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": [],
        "unit_amount": None,
        "unit_amount_decimal": None,
        "metadata": row.metadata(),
        **details,
    }
