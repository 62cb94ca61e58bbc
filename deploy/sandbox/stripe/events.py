"""Meter events and their cancellation (docs.stripe.com: record usage, meter event object)."""

import re
import uuid
from collections.abc import Mapping

from deploy.sandbox.stripe import meters
from deploy.sandbox.stripe.errors import missing, refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import Store
from deploy.sandbox.wire import Json

IDENTIFIER_WINDOW_SECONDS = 24 * 3_600
CANCEL_WINDOW_SECONDS = 24 * 3_600
OLDEST_SECONDS = 35 * 86_400
NEWEST_SECONDS = 5 * 60
# A number with at most 12 decimal places, negative for a correction.
VALUE = re.compile(r"-?\d{1,18}(\.\d{1,12})?")


def create(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    """A name that no meter has is accepted and then dropped, as at Stripe."""
    form.only("event_name payload", "identifier timestamp")
    name = form.needed("event_name", limit=100)
    identifier = form.text("identifier", limit=100) or str(uuid.uuid4())
    payload = form.inner("payload").strings()
    meter = meters.by_event_name(store, name)
    if meter is not None and meter["status"] != "active":
        raise refuse(
            f"The meter for event name '{name}' is deactivated.", code="archived_meter", param="event_name"
        )
    customer, value = _mapped(payload, meter)
    _check_customer(store, customer)
    timestamp = _timestamp(store, form)
    _check_new(store, identifier)
    store.state.run(
        "INSERT INTO meter_event (identifier, event_name, meter, customer, value, timestamp, received_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(identifier, name, meter["id"] if meter else None, customer, value, timestamp, store.state.now()),
    )
    return {
        "object": "billing.meter_event",
        "created": store.now,
        "event_name": name,
        "identifier": identifier,
        "livemode": False,
        "payload": payload,
        "timestamp": timestamp,
    }


def cancel(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    """Cancels one whole event within 24 h of its receipt. Its identifier stays taken."""
    form.only("event_name type cancel")
    form.one_of("type", "cancel")
    inner = form.inner("cancel")
    inner.only("identifier")
    name, identifier = form.needed("event_name", limit=100), inner.needed("identifier", limit=100)
    row = store.state.one(
        "SELECT * FROM meter_event WHERE identifier = ? AND event_name = ? ORDER BY seq DESC LIMIT 1",
        identifier,
        name,
    )
    if row is None:
        raise missing("meter event", identifier, param="cancel[identifier]")
    if row["cancelled_at"] is not None:
        raise refuse(
            f"The event with identifier {identifier} is already cancelled.", param="cancel[identifier]"
        )
    if store.state.now() - row["received_at"] > CANCEL_WINDOW_SECONDS:
        text = "Only events received within the last 24 hours can be cancelled."
        raise refuse(text, param="cancel[identifier]")
    store.state.run("UPDATE meter_event SET cancelled_at = ? WHERE seq = ?", store.state.now(), row["seq"])
    return {
        "object": "billing.meter_event_adjustment",
        "event_name": name,
        "type": "cancel",
        "cancel": {"identifier": identifier},
        "status": "pending",
        "livemode": False,
    }


def _mapped(payload: dict[str, str], meter: Json | None) -> tuple[str, str]:
    """Customer and value by the meter's payload keys; a counting meter needs no value."""
    customer_key = meter["customer_mapping"]["event_payload_key"] if meter else "stripe_customer_id"
    value_key = meter["value_settings"]["event_payload_key"] if meter else "value"
    counts = meter is not None and meter["default_aggregation"]["formula"] == "count"
    customer, value = payload.get(customer_key), payload.get(value_key, "1" if counts else None)
    if not customer:
        text = f"The payload is missing the customer key '{customer_key}'."
        raise refuse(text, code="meter_event_no_customer_defined", param="payload")
    if value is None or not VALUE.fullmatch(value):
        text = f"The payload's '{value_key}' must be a number with at most 12 decimal places."
        raise refuse(text, code="meter_event_invalid_value", param="payload")
    return customer, value


def _check_customer(store: Store, customer: str) -> None:
    if store.state.settings.stripe_unknown_customer == "reject":
        store.get("customer", customer, param="payload[stripe_customer_id]")


def _timestamp(store: Store, form: Form) -> int:
    now = store.now
    moment = form.integer("timestamp")
    if moment is None:
        return now
    if moment < now - OLDEST_SECONDS:
        text = "The timestamp is too far in the past; it must be within the past 35 days."
        raise refuse(text, code="timestamp_too_far_in_past", param="timestamp")
    if moment > now + NEWEST_SECONDS:
        text = "The timestamp is in the future; it may be at most 5 minutes ahead."
        raise refuse(text, code="timestamp_in_future", param="timestamp")
    return moment


def _check_new(store: Store, identifier: str) -> None:
    """Stripe documents no error code for a repeated identifier, so none is given."""
    oldest = store.state.now() - IDENTIFIER_WINDOW_SECONDS
    if store.state.one(
        "SELECT 1 FROM meter_event WHERE identifier = ? AND received_at > ?", identifier, oldest
    ):
        raise refuse(
            f"An event already exists with identifier {identifier}.",
            param="identifier",
            extra={"Stripe-Should-Retry": "false"},
            kept=True,
        )
