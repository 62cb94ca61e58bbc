"""Lines of an invoice: what each item of a customer's subscriptions used since it was last invoiced."""

from decimal import ROUND_HALF_UP, Decimal

from deploy.sandbox.stripe import usage
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.stripe.subscriptions import period_end
from deploy.sandbox.wire import Json


def open_lines(store: Store, customer: str, subscription: str | None, invoice: str) -> list[Json]:
    """Closes each item's period now, or at its end if that has passed, and starts the next one."""
    lines = []
    for owner in store.all("subscription", customer)[::-1]:
        if subscription not in (None, owner["id"]):
            continue
        for item in store.all("subscription_item", owner["id"])[::-1]:
            start, end = item["current_period_start"], _closing(store, owner, item)
            if end > start:
                lines.append(_line(store, owner, item, invoice, (start, end)))
                store.save(_advanced(item, end))
    return lines


def refreshed(store: Store, customer: str, line: Json) -> Json:
    """The line with the usage known now; below 0 counts as 0."""
    price = store.get("price", line["pricing"]["price_details"]["price"])
    quantity = Decimal(line["quantity"])
    if (meter := price["recurring"]["meter"]) is not None:
        period = line["period"]
        used = usage.total(store.state, store.get("meter", meter), customer, period["start"], period["end"])
        quantity = max(Decimal(0), used)
    amount = quantity * Decimal(price["unit_amount_decimal"])
    cents = int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    counted = {"quantity": int(quantity), "quantity_decimal": f"{quantity:f}"}
    return {**line, **counted, "amount": cents, "subtotal": cents}


def _closing(store: Store, subscription: Json, item: Json) -> int:
    # The second under way belongs to the period, so that usage stamped just now is on the invoice.
    ended: int = subscription["ended_at"] or store.now
    period_ends: int = item["current_period_end"]
    return min(ended + 1, period_ends)


def _advanced(item: Json, end: int) -> Json:
    recurring = item["price"]["recurring"]
    stop = item["current_period_end"]
    if end == stop:
        stop = period_end(end, recurring["interval"], recurring["interval_count"])
    return {**item, "current_period_start": end, "current_period_end": stop}


def _line(store: Store, subscription: Json, item: Json, invoice: str, period: tuple[int, int]) -> Json:
    price = item["price"]
    return {
        "id": store.new_id("il"),
        "object": "line_item",
        "amount": 0,
        "subtotal": 0,
        "currency": price["currency"],
        "description": price["nickname"] or store.get("product", price["product"])["name"],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
        },
        "period": {"start": period[0], "end": period[1]},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"] or 0,
        "quantity_decimal": str(item["quantity"] or 0),
        "subscription": subscription["id"],
        "taxes": [],
    }
