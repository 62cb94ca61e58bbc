"""Subscriptions and their items; the billing period is kept on the item."""

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page, whole
from deploy.sandbox.wire import Json


def create(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(
        "customer items",
        "backdate_start_date billing_mode collection_method days_until_due description metadata off_session"
        " payment_behavior proration_behavior",
    )
    customer = store.get("customer", form.needed("customer"), param="customer")
    start = form.integer("backdate_start_date") or store.now
    if start > store.now:
        raise refuse("backdate_start_date must be in the past.", param="backdate_start_date")
    identity = store.new_id("sub")
    items = [_item(store, row, identity, start) for row in form.rows("items")]
    body = {
        "id": identity,
        "object": "subscription",
        "created": store.now,
        "start_date": start,
        "billing_cycle_anchor": start,
        "billing_mode": {"type": form.inner("billing_mode").text("type") or "flexible"},
        "automatic_tax": {"enabled": False, "liability": None},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "collection_method": form.one_of("collection_method", "charge_automatically", "send_invoice")
        or "charge_automatically",
        "currency": items[0]["price"]["currency"],
        "customer": customer["id"],
        "days_until_due": form.integer("days_until_due"),
        "description": form.text("description"),
        "discounts": [],
        "latest_invoice": None,
        "livemode": False,
        "status": "active",
        "metadata": form.metadata(),
    }
    store.create("subscription", body, owner=customer["id"])
    for item in items:
        store.create("subscription_item", item, owner=identity)
    return shown(store, body)


def shown(store: Store, subscription: Json) -> Json:
    items = store.all("subscription_item", subscription["id"])[::-1]
    return {
        **subscription,
        "items": whole(items, f"/v1/subscription_items?subscription={subscription['id']}"),
    }


def retrieve(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return shown(store, store.get("subscription", ids["id"]))


def listed(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    """Canceled ones only when asked for by `status` (canceled or all)."""
    form.only(optional=f"customer status {PAGE_PARAMS}")
    status = form.one_of("status", "active", "canceled", "all")
    found = [
        subscription
        for subscription in store.all("subscription", form.text("customer"))
        if status == "all" or subscription["status"] == (status or "active")
    ]
    return page(found, "/v1/subscriptions", form, lambda subscription: shown(store, subscription))


def cancel(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """At once; usage until now can still be invoiced."""
    form.only(optional="invoice_now prorate cancellation_details")
    subscription = store.get("subscription", ids["id"])
    if subscription["status"] == "canceled":
        raise refuse("The subscription is already canceled.", code="resource_missing", status=404)
    changes = {"status": "canceled", "canceled_at": store.now, "ended_at": store.now}
    return shown(store, store.save({**subscription, **changes}))


def list_items(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only("subscription", PAGE_PARAMS)
    return page(store.all("subscription_item", form.needed("subscription")), "/v1/subscription_items", form)


def retrieve_item(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return store.get("subscription_item", ids["id"])


def period_end(start: int, interval: str, count: int) -> int:
    """The end of a period; the 31st becomes the last day of a shorter month."""
    moment = datetime.fromtimestamp(start, UTC)
    if interval in {"day", "week"}:
        return int((moment + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return int(moment.replace(year=year, month=month, day=day).timestamp())


def _item(store: Store, form: Form, subscription: str, start: int) -> Json:
    form.only("price", "quantity metadata")
    price = store.get("price", form.needed("price"), param="items[0][price]")
    recurring = price["recurring"]
    if recurring is None:
        raise refuse("The price specified is not recurring.", param="items[0][price]")
    metered = recurring["usage_type"] == "metered"
    if metered and form.has("quantity"):
        raise refuse("Quantity cannot be set for metered prices.", param="items[0][quantity]")
    return {
        "id": store.new_id("si"),
        "object": "subscription_item",
        "created": store.now,
        "current_period_start": start,
        "current_period_end": period_end(start, recurring["interval"], recurring["interval_count"]),
        "discounts": [],
        "price": price,
        "quantity": None if metered else form.integer("quantity") or 1,
        "subscription": subscription,
        "tax_rates": [],
        "metadata": form.metadata(),
    }
