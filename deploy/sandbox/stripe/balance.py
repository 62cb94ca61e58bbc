"""A customer's balance: an append-only list of transactions; negative means the customer has credit."""

from collections.abc import Mapping

from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page
from deploy.sandbox.wire import Json


def create(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only("amount currency", "description metadata")
    customer = store.get("customer", ids["id"])
    amount, currency = form.needed_integer("amount"), form.needed("currency").lower()
    if customer["currency"] not in (None, currency):
        text = f"The customer's currency is {customer['currency']}, not {currency}."
        raise refuse(text, param="currency")
    details = {"description": form.text("description", limit=350), "metadata": form.metadata()}
    return post(store, customer["id"], amount, currency, "adjustment", details)


def listed(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only(optional=f"created invoice {PAGE_PARAMS}")
    customer = store.get("customer", ids["id"])["id"]
    return page(
        store.all("balance_transaction", customer), f"/v1/customers/{customer}/balance_transactions", form
    )


def post(store: Store, customer: str, amount: int, currency: str, kind: str, details: Json) -> Json:  # noqa: PLR0913, PLR0917 - a posting's parts
    """Adds to the balance (negative = credit) and writes the transaction that says so."""
    owner = store.get("customer", customer)
    ending = owner["balance"] + amount
    store.save({**owner, "balance": ending, "currency": currency})
    body = {
        "id": store.new_id("cbtxn"),
        "object": "customer_balance_transaction",
        "amount": amount,
        "created": store.now,
        "credit_note": None,
        "currency": currency,
        "customer": customer,
        "description": None,
        "ending_balance": ending,
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        **details,
    }
    return store.create("balance_transaction", body, owner=customer)
