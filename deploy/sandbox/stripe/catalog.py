"""Customers, products and prices."""

from collections.abc import Mapping
from decimal import Decimal

from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page
from deploy.sandbox.wire import Json


def create_customer(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional="name email description phone metadata balance")
    body: Json = {
        "id": store.new_id("cus"),
        "object": "customer",
        "created": store.now,
        "livemode": False,
        "name": form.text("name"),
        "email": form.text("email", limit=512),
        "description": form.text("description"),
        "phone": form.text("phone"),
        "balance": form.integer("balance") or 0,
        "currency": None,
        "delinquent": False,
        "invoice_prefix": store.new_id("x")[-8:].upper(),
        "next_invoice_sequence": 1,
        "metadata": form.metadata(),
    }
    return store.create("customer", body, owner=body["email"])


def retrieve_customer(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """A deleted one is still there, and says no more than that."""
    form.only()
    return store.find("customer", ids["id"]) or store.get("customer", ids["id"])


def list_customers(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"email created {PAGE_PARAMS}")
    created = form.inner("created")
    created.only(optional="gte")
    since = created.integer("gte") or 0
    found = [
        customer
        for customer in store.all("customer", form.text("email"))
        if not customer.get("deleted") and customer["created"] >= since
    ]
    return page(found, "/v1/customers", form)


def delete_customer(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """For ever, and its subscriptions end at once (docs.stripe.com: delete a customer)."""
    form.only()
    customer = store.get("customer", ids["id"])
    for subscription in store.all("subscription", customer["id"]):
        if subscription["status"] != "canceled":
            ended = {"status": "canceled", "canceled_at": store.now, "ended_at": store.now}
            store.save({**subscription, **ended})
    return store.save({"id": customer["id"], "object": "customer", "deleted": True})


def create_product(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only("name", "description active unit_label metadata id")
    body: Json = {
        "id": form.text("id") or store.new_id("prod"),
        "object": "product",
        "active": form.one_of("active", "true", "false") != "false",
        "created": store.now,
        "updated": store.now,
        "livemode": False,
        "name": form.needed("name"),
        "description": form.text("description"),
        "unit_label": form.text("unit_label"),
        "images": [],
        "marketing_features": [],
        "type": "service",
        "metadata": form.metadata(),
    }
    if store.find("product", body["id"]):
        raise refuse("Product already exists.", code="resource_already_exists", param="id")
    return store.create("product", body)


def retrieve_product(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return store.get("product", ids["id"])


def create_price(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(
        "currency product", "unit_amount unit_amount_decimal recurring nickname lookup_key active metadata"
    )
    product = store.get("product", form.needed("product"), param="product")
    amount = form.decimal("unit_amount_decimal")
    if amount is None:
        whole = form.integer("unit_amount")
        amount = None if whole is None else Decimal(whole)
    if amount is None or amount < 0:
        raise refuse("A price needs a unit_amount or unit_amount_decimal of at least 0.", param="unit_amount")
    recurring = _recurring(store, form.inner("recurring")) if form.has("recurring") else None
    body = {
        "id": store.new_id("price"),
        "object": "price",
        "active": form.one_of("active", "true", "false") != "false",
        "billing_scheme": "per_unit",
        "created": store.now,
        "currency": form.needed("currency").lower(),
        "livemode": False,
        "lookup_key": form.text("lookup_key"),
        "nickname": form.text("nickname"),
        "product": product["id"],
        "recurring": recurring,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": int(amount) if amount == int(amount) else None,
        "unit_amount_decimal": f"{amount:f}",
        "metadata": form.metadata(),
    }
    return store.create("price", body, owner=body["lookup_key"])


def retrieve_price(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return store.get("price", ids["id"])


def list_prices(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"lookup_keys product active {PAGE_PARAMS}")
    keys = set(form.inner("lookup_keys").strings().values())
    product = form.text("product")
    prices = [
        price
        for price in store.all("price")
        if (not keys or price["lookup_key"] in keys) and product in (None, price["product"])
    ]
    return page(prices, "/v1/prices", form)


def _recurring(store: Store, form: Form) -> Json:
    form.only("interval", "interval_count meter usage_type")
    meter = form.text("meter")
    usage_type = form.one_of("usage_type", "licensed", "metered") or "licensed"
    if (usage_type == "metered") != (meter is not None):
        raise refuse("Metered prices need a meter, and only they have one.", param="recurring[meter]")
    if meter is not None:
        store.get("meter", meter, param="recurring[meter]")
    return {
        "interval": form.one_of("interval", "day", "week", "month", "year"),
        "interval_count": form.integer("interval_count") or 1,
        "meter": meter,
        "usage_type": usage_type,
    }
