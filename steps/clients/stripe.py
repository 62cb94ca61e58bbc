"""Stripe's billing: meter events, and what a tenant needs before it has any. The one file that knows the SDK.

Sources: docs.stripe.com, "Record usage", "Idempotent requests", "Advanced error handling". The SDK repeats
nothing for us: when another try is safe depends on what the intent in the database says.
"""

import math
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import TypeVar

import httpx
import stripe

from contracts.errors import StepError, StepRejected, StepTransient
from contracts.process import crash, logs
from contracts.process.settings import BadSettings, load
from steps.clients.billing import Duplicate, Sent, UsageUnknown, in_smallest_unit
from steps.clients.stripe_settings import LIVE_CALLS, READS, StripeSettings

__all__ = ["Billing", "Duplicate", "Sent", "StripeSettings", "UsageUnknown", "open_stripe"]

log = logs.get("stripe")
T = TypeVar("T")
S = TypeVar("S", bound=stripe.StripeObject)
B = TypeVar("B", bound="Billing")

TIMEOUT_SECONDS = 10.0
LONGEST_REASON = 300
SURELY_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# What a message may quote: keys (also masked ones) never appear in a reason.
_KEY = re.compile(r"\b(sk|rk|pk)_\S+")


@dataclass(frozen=True, slots=True)
class Billing:
    """Every method raises StepTransient (surely nothing happened), StepUnknown or StepRejected."""

    sdk: stripe.StripeClient
    calls_per_second: float = LIVE_CALLS
    """Meter events that the account takes from all processes together."""
    reads_per_second: float = READS
    """Totals that it lets all processes together read."""

    async def send_usage(  # noqa: PLR0913 - the columns of an intent
        self,
        *,
        identifier: str,
        customer: str,
        event_name: str,
        value: int,
        at: datetime,
        idempotency_key: str,
    ) -> Sent | Duplicate:
        """Adds `value` (negative takes back) to what the customer used at `at`, once for an identifier and
        24 h. Both answers mean that Stripe has it; whether it counts is decided later, so verify by summary.
        Raises UsageUnknown where Stripe may have it."""
        sending = self.sdk.v1.billing.meter_events.create_async(
            {
                "event_name": event_name,
                "identifier": identifier,
                "payload": {"stripe_customer_id": customer, "value": str(value)},
                "timestamp": int(at.timestamp()),
            },
            {"idempotency_key": idempotency_key},
        )
        try:
            event = await answered(sending)
        except stripe.StripeError as error:
            failure = error
        else:
            return Sent(event.last_response.request_id if event.last_response else None)
        if is_duplicate(failure):
            log.info("usage_was_sent_before", code=code_of(failure), identifier=identifier)
            return Duplicate(failure.request_id)
        raise mapped(failure)

    async def customer_exists(self, customer: str) -> bool:
        """False also for a deleted one: usage of it would be lost."""
        try:
            found = await answered(self.sdk.v1.customers.retrieve_async(customer))
        except stripe.StripeError as error:
            failure = error
        else:
            return not getattr(found, "deleted", False)
        if failure.http_status == HTTPStatus.NOT_FOUND:
            return False
        raise mapped(failure)

    async def create_customer(self, name: str, tenant_id: str) -> str:
        """The customer's id. Repeated within 24 h it is the same customer."""
        customer = await asked(
            self.sdk.v1.customers.create_async(
                {"name": name, "metadata": {"tenant_id": tenant_id}},
                {"idempotency_key": f"leadsaga-customer-{tenant_id}"},
            )
        )
        return customer.id

    async def ensure_meter(self, event_name: str) -> str:
        """The id of the active meter that sums up `event_name`. Events sent before there is one are lost."""
        if known := await self.meter_of(event_name):
            return known
        made = await asked(
            self.sdk.v1.billing.meters.create_async(
                {
                    "display_name": event_name.replace("_", " ").capitalize(),
                    "event_name": event_name,
                    "default_aggregation": {"formula": "sum"},
                }
            )
        )
        return made.id

    async def meter_of(self, event_name: str) -> str | None:
        """The id of the active meter that sums up `event_name`, if there is one."""
        meters = await every(self.sdk.v1.billing.meters.list_async({"status": "active", "limit": 100}))
        return next((meter.id for meter in meters if meter.event_name == event_name), None)

    async def ensure_price(self, plan_id: str, *, meter: str, price_per_lead: Decimal, currency: str) -> str:
        """The id of the monthly price of a plan. Prices never change: another amount is another price."""
        key = f"leadsaga-{plan_id}-{meter}-{price_per_lead.normalize():f}-{currency}"
        known = await asked(self.sdk.v1.prices.list_async({"lookup_keys": [key], "limit": 1}))
        if known.data:
            return known.data[0].id
        product = await asked(
            self.sdk.v1.products.create_async(
                {"name": f"Leads ({plan_id})", "unit_label": "lead"},
                {"idempotency_key": f"leadsaga-product-{key}"},
            )
        )
        made = await asked(
            self.sdk.v1.prices.create_async(
                {
                    "product": product.id,
                    "currency": currency,
                    "unit_amount_decimal": in_smallest_unit(price_per_lead, currency),
                    "recurring": {"interval": "month", "usage_type": "metered", "meter": meter},
                    "lookup_key": key,
                },
                {"idempotency_key": f"leadsaga-price-{key}"},
            )
        )
        return made.id

    async def ensure_subscription(self, customer: str, price: str, *, start: datetime | None = None) -> str:
        """The id of an active subscription of the customer to the price. `start` may be in the past, so that
        Stripe's billing periods are the tenant's own."""
        known = self.sdk.v1.subscriptions.list_async({"customer": customer, "limit": 100})
        for subscription in await every(known):
            if any(item.price.id == price for item in subscription["items"].data):
                return subscription.id
        params: stripe.params.SubscriptionCreateParams = {
            "customer": customer,
            "items": [{"price": price}],
            "billing_mode": {"type": "flexible"},
            "collection_method": "send_invoice",
            "days_until_due": 14,
        }
        if start is not None:
            params["backdate_start_date"] = int(start.timestamp())
        options: stripe.RequestOptions = {"idempotency_key": f"leadsaga-subscription-{customer}-{price}"}
        return (await asked(self.sdk.v1.subscriptions.create_async(params, options))).id

    async def event_summary(self, meter: str, customer: str, start: datetime, end: datetime) -> int:
        """The customer's usage in [start, end), widened to whole minutes. What was sent lately may be
        missing, so that only what is there proves anything."""
        listing = self.sdk.v1.billing.meters.event_summaries.list_async(
            meter,
            {
                "customer": customer,
                "start_time": math.floor(start.timestamp() / 60) * 60,
                "end_time": math.ceil(end.timestamp() / 60) * 60,
                "limit": 100,
            },
        )
        return sum(round(summary.aggregated_value) for summary in await every(listing))


async def answered(call: Awaitable[T]) -> T:
    async with crash.around("call.stripe", "answered"):
        return await call


async def asked(answer: Awaitable[T]) -> T:
    """The vendor's answer. Its error is raised outside of the except block: it holds the whole response."""
    try:
        return await answered(answer)
    except stripe.StripeError as error:
        failure = error
    raise mapped(failure)


async def every(listing: Awaitable[stripe.ListObject[S]]) -> list[S]:
    """The objects of all pages."""

    async def pages() -> list[S]:
        return [item async for item in (await listing).auto_paging_iter()]

    return await asked(pages())


def is_duplicate(error: stripe.StripeError) -> bool:
    """Stripe documents no code for a repeated identifier: known are status 400, the type and the wording."""
    return (
        error.http_status == HTTPStatus.BAD_REQUEST
        and isinstance(error, stripe.InvalidRequestError)
        and "already exists" in message_of(error)
        and "identifier" in message_of(error)
    )


def mapped(error: stripe.StripeError) -> StepError:
    if not isinstance(error, stripe.APIConnectionError):
        return _status_mapped(error)
    cause = error.__cause__
    if isinstance(cause, SURELY_NOT_SENT):
        return StepTransient("Stripe could not be reached", error=type(cause).__name__)
    return UsageUnknown("Stripe did not answer", error=type(cause or error).__name__)


def _status_mapped(error: stripe.StripeError) -> StepError:
    name, status = code_of(error), error.http_status
    if status is None or status < HTTPStatus.BAD_REQUEST:
        return UsageUnknown("Stripe's answer could not be read", error=name)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        stored = (error.headers or {}).get("stripe-should-retry") == "false"
        return UsageUnknown("Stripe failed", error=f"{name} {status}", stored=stored)
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT}:
        return StepTransient("Stripe is busy", error=name, retry_after=retry_after(error))
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        # Our key is wrong, not the usage: it can be sent as soon as somebody mends the key.
        return StepTransient("Stripe does not accept our key", error=name)
    return StepRejected(f"Stripe refused: {message_of(error)}", error=name)


def code_of(error: stripe.StripeError) -> str:
    return (error.error.code if error.error else None) or error.code or type(error).__name__


def message_of(error: stripe.StripeError) -> str:
    return _KEY.sub("(key)", error.user_message or "no reason given")[:LONGEST_REASON]


def retry_after(error: stripe.StripeError) -> float | None:
    try:
        seconds = float((error.headers or {}).get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def open_stripe(settings: StripeSettings | None = None) -> AbstractAsyncContextManager[Billing]:
    """Raises BadSettings when there is neither a key nor a stand-in."""
    return opened(Billing, settings)


@asynccontextmanager
async def opened(kind: type[B], settings: StripeSettings | None = None) -> AsyncIterator[B]:
    """Raises BadSettings when there is neither a key nor a stand-in."""
    settings = settings or load(StripeSettings)
    key, url = settings.stripe_api_key, settings.stripe_base_url
    if key is None and url is None:
        raise BadSettings(["STRIPE_API_KEY is not set, nor LEADSAGA_STRIPE_BASE_URL"])
    # The SDK would report the platform and write a file into the user's configuration.
    stripe.enable_telemetry = False
    http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
    try:
        sdk = client(key.get_secret_value() if key else "sk_test_standin", url, http)
        yield kind(sdk, settings.calls_per_second, settings.reads_per_second)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]  # so in the SDK


def client(key: str, url: str | None, http: stripe.HTTPClient) -> stripe.StripeClient:
    if url is None:
        return stripe.StripeClient(key, http_client=http, max_network_retries=0)
    url = url.rstrip("/")
    return stripe.StripeClient(
        key,
        http_client=http,
        max_network_retries=0,
        base_addresses={"api": url, "connect": url, "files": url, "meter_events": url},
    )
