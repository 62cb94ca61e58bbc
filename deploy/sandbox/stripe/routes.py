"""Every Stripe endpoint the sandbox serves: method, path, the name faults know it by, and its handler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.sandbox.stripe import (
    balance,
    catalog,
    credit_notes,
    events,
    invoices,
    meters,
    payments,
    subscriptions,
)
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.wire import Json

Handler = Callable[[Store, Form, Mapping[str, str]], Json]


@dataclass(frozen=True, slots=True)
class StripeRoute:
    """`method` and `name` together are unique."""

    method: str
    path: str
    name: str
    handler: Handler


# Fixed paths stand before the patterns that would swallow them.
ROUTES = (
    StripeRoute("POST", "/v1/customers", "stripe.customers", catalog.create_customer),
    StripeRoute("GET", "/v1/customers", "stripe.customers", catalog.list_customers),
    StripeRoute("GET", "/v1/customers/{id}", "stripe.customers.retrieve", catalog.retrieve_customer),
    StripeRoute("DELETE", "/v1/customers/{id}", "stripe.customers.delete", catalog.delete_customer),
    StripeRoute(
        "POST", "/v1/customers/{id}/balance_transactions", "stripe.balance_transactions", balance.create
    ),
    StripeRoute(
        "GET", "/v1/customers/{id}/balance_transactions", "stripe.balance_transactions", balance.listed
    ),
    StripeRoute("POST", "/v1/products", "stripe.products", catalog.create_product),
    StripeRoute("GET", "/v1/products/{id}", "stripe.products.retrieve", catalog.retrieve_product),
    StripeRoute("POST", "/v1/prices", "stripe.prices", catalog.create_price),
    StripeRoute("GET", "/v1/prices", "stripe.prices", catalog.list_prices),
    StripeRoute("GET", "/v1/prices/{id}", "stripe.prices.retrieve", catalog.retrieve_price),
    StripeRoute("POST", "/v1/billing/meters", "stripe.meters", meters.create),
    StripeRoute("GET", "/v1/billing/meters", "stripe.meters", meters.listed),
    StripeRoute("GET", "/v1/billing/meters/{id}", "stripe.meters.retrieve", meters.retrieve),
    StripeRoute("POST", "/v1/billing/meters/{id}/deactivate", "stripe.meters.deactivate", meters.deactivate),
    StripeRoute("GET", "/v1/billing/meters/{id}/event_summaries", "stripe.event_summaries", meters.summaries),
    StripeRoute("POST", "/v1/billing/meter_events", "stripe.meter_events", events.create),
    StripeRoute(
        "POST", "/v1/billing/meter_event_adjustments", "stripe.meter_event_adjustments", events.cancel
    ),
    StripeRoute("POST", "/v1/subscriptions", "stripe.subscriptions", subscriptions.create),
    StripeRoute("GET", "/v1/subscriptions", "stripe.subscriptions", subscriptions.listed),
    StripeRoute("GET", "/v1/subscriptions/{id}", "stripe.subscriptions.retrieve", subscriptions.retrieve),
    StripeRoute("DELETE", "/v1/subscriptions/{id}", "stripe.subscriptions.cancel", subscriptions.cancel),
    StripeRoute("GET", "/v1/subscription_items", "stripe.subscription_items", subscriptions.list_items),
    StripeRoute(
        "GET",
        "/v1/subscription_items/{id}",
        "stripe.subscription_items.retrieve",
        subscriptions.retrieve_item,
    ),
    StripeRoute("POST", "/v1/invoices", "stripe.invoices", invoices.create),
    StripeRoute("GET", "/v1/invoices", "stripe.invoices", invoices.listed),
    StripeRoute("GET", "/v1/invoices/{id}", "stripe.invoices.retrieve", invoices.retrieve),
    StripeRoute("GET", "/v1/invoices/{id}/lines", "stripe.invoices.lines", invoices.lines),
    StripeRoute("POST", "/v1/invoices/{id}/finalize", "stripe.invoices.finalize", invoices.finalize),
    StripeRoute("POST", "/v1/invoices/{id}/pay", "stripe.invoices.pay", invoices.pay),
    StripeRoute("POST", "/v1/invoices/{id}/void", "stripe.invoices.void", invoices.void),
    StripeRoute("GET", "/v1/invoice_payments", "stripe.invoice_payments", payments.listed),
    StripeRoute("GET", "/v1/disputes", "stripe.disputes", payments.list_disputes),
    StripeRoute("GET", "/v1/credit_notes/preview", "stripe.credit_notes.preview", credit_notes.preview),
    StripeRoute("POST", "/v1/credit_notes", "stripe.credit_notes", credit_notes.create),
    StripeRoute("GET", "/v1/credit_notes", "stripe.credit_notes", credit_notes.listed),
    StripeRoute("GET", "/v1/credit_notes/{id}", "stripe.credit_notes.retrieve", credit_notes.retrieve),
)

HANDLERS: Mapping[tuple[str, str], Handler] = {(route.method, route.name): route.handler for route in ROUTES}
