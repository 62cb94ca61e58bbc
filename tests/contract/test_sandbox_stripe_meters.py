"""The sandbox meters usage as Stripe documents, seen through the real SDK."""

import asyncio
import time

import pytest
import stripe

from deploy.sandbox.client import SandboxAdmin
from tests.kit.sandbox import Shop

pytest_plugins = ("tests.kit.sandbox",)
# The SDK's httpx transport passes bytes in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

DAY = 86_400


async def summed(shop: Shop) -> float:
    minute = int(time.time()) // 60 * 60
    page = await shop.sdk.v1.billing.meters.event_summaries.list_async(
        shop.meter, {"customer": shop.customer, "start_time": minute - DAY, "end_time": minute + 120}
    )
    return page.data[0].aggregated_value


async def refused(
    shop: Shop, identifier: str, value: int | str, timestamp: int | None = None
) -> stripe.StripeError:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await shop.report(identifier, value, timestamp)
    return raised.value


async def test_an_event_is_echoed_and_counted(shop: Shop, admin: SandboxAdmin) -> None:
    event = await shop.report("batch-1", 25)
    assert event.identifier == "batch-1"
    assert {"stripe_customer_id": shop.customer, "value": "25"} == event.payload.to_dict()
    (usage,) = await admin.usage()
    assert (shop.customer, shop.meter, 25, 1) == (
        usage["customer"],
        usage["meter"],
        usage["total"],
        usage["events"],
    )


async def test_a_repeated_identifier_is_400_and_must_not_be_retried(shop: Shop, admin: SandboxAdmin) -> None:
    await shop.report("batch-1", 25)
    error = await refused(shop, "batch-1", 25)
    assert error.http_status == 400
    assert "An event already exists with identifier batch-1" in str(error)
    assert error.headers is not None
    assert error.headers["stripe-should-retry"] == "false"
    assert (await admin.usage())[0]["total"] == 25


async def test_an_identifier_is_free_again_after_24_hours(shop: Shop, admin: SandboxAdmin) -> None:
    await shop.report("batch-1", 25)
    await admin.settings(now_offset_seconds=float(DAY + 60))
    await shop.report("batch-1", 25)
    assert (await admin.usage())[0]["total"] == 50


async def test_a_negative_event_takes_usage_back(shop: Shop) -> None:
    await shop.report("batch-1", 25)
    await shop.report("batch-1-void", -5)
    assert await summed(shop) == 20.0


async def test_a_cancelled_event_counts_no_more_and_its_identifier_stays_taken(
    shop: Shop, admin: SandboxAdmin
) -> None:
    await shop.report("batch-1", 25)
    adjustment = await shop.sdk.v1.billing.meter_event_adjustments.create_async(
        {"event_name": "leads", "type": "cancel", "cancel": {"identifier": "batch-1"}}
    )
    assert adjustment.status == "pending"
    assert await summed(shop) == 0.0
    assert [(usage["events"], usage["cancelled"]) for usage in await admin.usage()] == [(0, 1)]
    await refused(shop, "batch-1", 25)


async def test_an_event_cannot_be_cancelled_after_24_hours(shop: Shop, admin: SandboxAdmin) -> None:
    await shop.report("batch-1", 25)
    await admin.settings(now_offset_seconds=float(DAY + 60))
    with pytest.raises(stripe.InvalidRequestError, match="last 24 hours"):
        await shop.sdk.v1.billing.meter_event_adjustments.create_async(
            {"event_name": "leads", "type": "cancel", "cancel": {"identifier": "batch-1"}}
        )


@pytest.mark.parametrize("value", ["many", "1e3", "", "0.1234567890123"])
async def test_a_value_that_is_no_number_is_refused(shop: Shop, value: str) -> None:
    assert (await refused(shop, "batch-1", value)).code == "meter_event_invalid_value"


@pytest.mark.parametrize(
    ("age", "code"), [(36 * DAY, "timestamp_too_far_in_past"), (-600, "timestamp_in_future")]
)
async def test_a_timestamp_outside_the_window_is_refused(shop: Shop, age: int, code: str) -> None:
    assert code == (await refused(shop, "batch-1", 1, int(time.time()) - age)).code


async def test_an_unknown_customer_is_refused_at_once_by_default(shop: Shop, admin: SandboxAdmin) -> None:
    payload = {"stripe_customer_id": "cus_nobody", "value": "1"}
    events = shop.sdk.v1.billing.meter_events
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_nobody'") as raised:
        await events.create_async({"event_name": "leads", "payload": payload})
    assert (raised.value.code, raised.value.http_status) == ("resource_missing", 400)
    await admin.settings(stripe_unknown_customer="accept")
    assert (await events.create_async({"event_name": "leads", "payload": payload})).event_name == "leads"


async def test_an_event_that_no_meter_knows_is_accepted_and_dropped(shop: Shop, admin: SandboxAdmin) -> None:
    payload = {"stripe_customer_id": shop.customer, "value": "1"}
    await shop.sdk.v1.billing.meter_events.create_async({"event_name": "other", "payload": payload})
    assert [(usage["meter"], usage["total"], usage["dropped"]) for usage in await admin.usage()] == [
        (None, 0, 1)
    ]


async def test_a_second_request_in_flight_for_customer_and_meter_is_429(
    shop: Shop, admin: SandboxAdmin
) -> None:
    await admin.settings(stripe_latency_seconds=0.2)
    results = await asyncio.gather(*(shop.report(f"batch-{n}", 1) for n in range(2)), return_exceptions=True)
    (error,) = [result for result in results if isinstance(result, stripe.RateLimitError)]
    assert error.error is not None
    assert error.error.code == "lock_timeout"
    assert (await admin.usage())[0]["total"] == 1


async def test_summaries_lag_by_the_setting(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.settings(summaries_lag_seconds=3600.0)
    await shop.report("batch-1", 25)
    assert await summed(shop) == 0.0
    await admin.settings(summaries_lag_seconds=0.0)
    assert await summed(shop) == 25.0


async def test_summaries_must_start_on_a_minute(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="start_time must be aligned with minute boundaries"):
        await shop.sdk.v1.billing.meters.event_summaries.list_async(
            shop.meter, {"customer": shop.customer, "start_time": 61, "end_time": 180}
        )


async def test_hourly_summaries_show_only_hours_with_usage_newest_first(shop: Shop) -> None:
    hour = int(time.time()) // 3600 * 3600
    await shop.report("batch-1", 3, hour - 7_200)
    await shop.report("batch-2", 4, hour - 7_100)
    await shop.report("batch-3", 5, hour)
    page = await shop.sdk.v1.billing.meters.event_summaries.list_async(
        shop.meter,
        {
            "customer": shop.customer,
            "start_time": hour - 36_000,
            "end_time": hour + 3_600,
            "value_grouping_window": "hour",
        },
    )
    assert [(hour, 5.0), (hour - 7_200, 7.0)] == [(one.start_time, one.aggregated_value) for one in page.data]


async def test_meters_can_be_listed_retrieved_and_are_unique_by_event_name(shop: Shop) -> None:
    meters = shop.sdk.v1.billing.meters
    assert [shop.meter] == [meter.id async for meter in (await meters.list_async()).auto_paging_iter()]
    assert (await meters.retrieve_async(shop.meter)).event_name == "leads"
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        await meters.create_async(
            {"display_name": "x", "event_name": "leads", "default_aggregation": {"formula": "sum"}}
        )


async def test_a_deactivated_meter_takes_no_events(shop: Shop) -> None:
    await shop.sdk.v1.billing.meters.deactivate_async(shop.meter)
    assert (await refused(shop, "batch-1", 1)).code == "archived_meter"


async def test_the_billing_period_is_on_the_subscription_item(shop: Shop) -> None:
    subscription = await shop.sdk.v1.subscriptions.retrieve_async(shop.subscription)
    (item,) = subscription["items"].data
    assert 28 * DAY <= item.current_period_end - item.current_period_start <= 31 * DAY
    assert item.price.id == shop.price
    assert not hasattr(subscription, "current_period_end")
