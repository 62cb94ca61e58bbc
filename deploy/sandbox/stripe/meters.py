"""Meters and the summaries of their events."""

from collections.abc import Mapping

from deploy.sandbox.stripe import usage
from deploy.sandbox.stripe.errors import refuse
from deploy.sandbox.stripe.form import Form
from deploy.sandbox.stripe.store import PAGE_PARAMS, Store, page
from deploy.sandbox.wire import Json

MINUTE, HOUR, DAY = 60, 3_600, 86_400
WINDOWS = {None: MINUTE, "hour": HOUR, "day": DAY}


def create(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(
        "display_name event_name default_aggregation", "customer_mapping value_settings event_time_window"
    )
    name = form.needed("event_name", limit=100)
    if (existing := by_event_name(store, name)) and existing["status"] == "active":
        text = f"An active meter with event name '{name}' already exists."
        raise refuse(text, code="resource_already_exists", param="event_name")
    aggregation = form.inner("default_aggregation")
    aggregation.only("formula")
    body = {
        "id": store.new_id("mtr"),
        "object": "billing.meter",
        "created": store.now,
        "updated": store.now,
        "livemode": False,
        "display_name": form.needed("display_name", limit=250),
        "event_name": name,
        "event_time_window": None,
        "default_aggregation": {"formula": aggregation.one_of("formula", "sum", "count", "last")},
        "customer_mapping": {
            "type": "by_id",
            "event_payload_key": form.inner("customer_mapping").text("event_payload_key")
            or "stripe_customer_id",
        },
        "value_settings": {
            "event_payload_key": form.inner("value_settings").text("event_payload_key") or "value",
        },
        "status": "active",
        "status_transitions": {"deactivated_at": None},
    }
    if form.has("event_time_window"):
        raise refuse("Pre-aggregated meters are not part of the sandbox.", param="event_time_window")
    return store.create("meter", body, owner=name)


def by_event_name(store: Store, name: str) -> Json | None:
    """The newest meter of that name."""
    return next(iter(store.all("meter", name)), None)


def retrieve(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    return store.get("meter", ids["id"])


def listed(store: Store, form: Form, _: Mapping[str, str]) -> Json:
    form.only(optional=f"status {PAGE_PARAMS}")
    status = form.one_of("status", "active", "inactive")
    found = [meter for meter in store.all("meter") if status in (None, meter["status"])]
    return page(found, "/v1/billing/meters", form)


def deactivate(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    form.only()
    meter = store.get("meter", ids["id"])
    return store.save({**meter, "status": "inactive", "status_transitions": {"deactivated_at": store.now}})


def summaries(store: Store, form: Form, ids: Mapping[str, str]) -> Json:
    """Without a window one summary of the whole span, else those windows that have usage, newest first."""
    form.only("customer start_time end_time", f"value_grouping_window {PAGE_PARAMS}")
    meter = store.get("meter", ids["id"])
    customer = form.needed("customer")
    window = form.one_of("value_grouping_window", "hour", "day")
    start, end = form.needed_integer("start_time"), form.needed_integer("end_time")
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % WINDOWS[window]:
            raise refuse(f"{name} must be aligned with {window or 'minute'} boundaries.", param=name)
    if end <= start:
        raise refuse("end_time must be after start_time.", param="end_time")
    until = store.state.now() - store.state.settings.summaries_lag_seconds
    spans = [(start, end)] if window is None else _used(store, meter, customer, (start, end), WINDOWS[window])
    found = [
        {
            "id": f"mtrusg_{meter['id'][4:]}{begin}",
            "object": "billing.meter_event_summary",
            "aggregated_value": float(
                usage.total(store.state, meter, customer, begin, stop, received_until=until)
            ),
            "start_time": begin,
            "end_time": stop,
            "livemode": False,
            "meter": meter["id"],
        }
        for begin, stop in spans
    ]
    return page(found, f"/v1/billing/meters/{meter['id']}/event_summaries", form)


def _used(
    store: Store, meter: Json, customer: str, span: tuple[int, int], width: int
) -> list[tuple[int, int]]:
    rows = store.state.rows(
        "SELECT DISTINCT timestamp / ?1 * ?1 AS begin FROM meter_event WHERE meter = ?2 AND customer = ?3"
        " AND timestamp >= ?4 AND timestamp < ?5 AND cancelled_at IS NULL ORDER BY begin DESC",
        *(width, meter["id"], customer, *span),
    )
    return [(row["begin"], row["begin"] + width) for row in rows]
