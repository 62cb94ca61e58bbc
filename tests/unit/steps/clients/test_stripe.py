"""What the Stripe client sends, and what it makes of every way Stripe can answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import stripe
from pydantic import SecretStr

from contracts.errors import StepError, StepRejected, StepTransient
from contracts.process.settings import BadSettings
from steps.clients.billing import in_smallest_unit
from steps.clients.stripe import Billing, Duplicate, Sent, StripeSettings, UsageUnknown, client, open_stripe

KEY = "sk_test_very_secret"
AT = datetime(2026, 11, 21, 8, 0, 30, tzinfo=UTC)
Handler = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def billing_over(handler: Handler) -> AsyncIterator[Billing]:
    http = stripe.HTTPXClient(timeout=5)
    await http.close_async()  # type: ignore[no-untyped-call]  # so in the SDK
    http._client_async = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    try:
        yield Billing(client(KEY, "http://vendor.test/stripe/", http))
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]  # so in the SDK


def answering(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Handler:
    return lambda _: httpx.Response(status, json=body, headers=headers)


def refusing(status: int, *, headers: dict[str, str] | None = None, **error: Any) -> Handler:
    body = {"error": {"type": "invalid_request_error", "message": "no"} | error}
    return answering(status, body, headers)


def raising(error: type[Exception]) -> Handler:
    def drop(_: httpx.Request) -> httpx.Response:
        raise error("gone")

    return drop


async def send(handler: Handler) -> Sent | Duplicate:
    async with billing_over(handler) as billing:
        return await billing.send_usage(
            identifier="leads-1",
            customer="cus_1",
            event_name="leads_delivered",
            value=-3,
            at=AT,
            idempotency_key="leads-1-g1",
        )


async def failure_of(handler: Handler) -> StepError:
    with pytest.raises(StepError) as caught:
        await send(handler)
    return caught.value


async def test_usage_is_sent_once_as_text_with_its_own_time_identifier_and_key() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"object": "billing.meter_event"}, headers={"request-id": "req_1"})

    assert Sent("req_1") == await send(answer)
    [request] = requests
    expected = {
        "event_name": "leads_delivered",
        "identifier": "leads-1",
        "payload[stripe_customer_id]": "cus_1",
        "payload[value]": "-3",
        "timestamp": str(int(AT.timestamp())),
    }
    assert expected == dict(parse_qsl(request.content.decode()))
    assert "http://vendor.test/stripe/v1/billing/meter_events" == str(request.url)
    assert "leads-1-g1" == request.headers["idempotency-key"]


async def test_a_repeated_identifier_means_that_an_earlier_try_landed() -> None:
    handler = refusing(400, message="An event already exists with identifier leads-1.")
    assert Duplicate(None) == await send(handler)


@pytest.mark.parametrize(
    "handler",
    [
        refusing(404, message="An event already exists with identifier leads-1."),
        refusing(400, message="A meter already exists."),
        refusing(400, type="idempotency_error", message="key already exists with other identifier"),
    ],
)
async def test_nothing_else_passes_for_a_repeated_identifier(handler: Handler) -> None:
    assert isinstance(await failure_of(handler), StepRejected)


async def test_an_unknown_customer_is_rejected_with_a_readable_reason_and_stripes_code() -> None:
    handler = refusing(400, code="resource_missing", message="No such customer: 'cus_1'")
    error = await failure_of(handler)
    assert isinstance(error, StepRejected)
    expected = ("Stripe refused: No such customer: 'cus_1'", "resource_missing")
    assert expected == (error.reason, error.error)


@pytest.mark.parametrize(("status", "code"), [(429, "lock_timeout"), (409, "idempotency_key_in_use")])
async def test_a_busy_stripe_surely_took_nothing(status: int, code: str) -> None:
    error = await failure_of(refusing(status, code=code, headers={"retry-after": "2"}))
    assert isinstance(error, StepTransient)
    assert (2.0, code) == (error.retry_after, error.error)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_our_fault_and_never_ends_an_intent(status: int) -> None:
    handler = refusing(status, message=f"Invalid API Key provided: {KEY}")
    error = await failure_of(handler)
    assert isinstance(error, StepTransient)
    assert KEY not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


async def test_a_reason_never_quotes_a_key() -> None:
    error = await failure_of(refusing(400, message=f"Key {KEY} cannot do this"))
    assert "Stripe refused: Key (key) cannot do this" == error.reason


@pytest.mark.parametrize(("headers", "stored"), [({"stripe-should-retry": "false"}, True), ({}, False)])
async def test_a_failed_stripe_may_have_the_event_and_tells_whether_the_key_is_spent(
    headers: dict[str, str], stored: bool
) -> None:
    error = await failure_of(refusing(500, type="api_error", headers=headers))
    assert isinstance(error, UsageUnknown)
    assert stored == error.stored


@pytest.mark.parametrize(
    "handler",
    [
        raising(httpx.ReadTimeout),
        raising(httpx.ReadError),
        raising(httpx.RemoteProtocolError),
        lambda _: httpx.Response(200, text="<html>"),
    ],
)
async def test_a_lost_answer_is_unknown_and_keeps_its_key(handler: Handler) -> None:
    error = await failure_of(handler)
    assert isinstance(error, UsageUnknown)
    assert not error.stored


@pytest.mark.parametrize("lost", [httpx.ConnectError, httpx.ConnectTimeout])
async def test_what_was_never_connected_was_surely_not_sent(lost: type[Exception]) -> None:
    assert isinstance(await failure_of(raising(lost)), StepTransient)


async def test_the_sdk_repeats_nothing_on_its_own() -> None:
    calls = 0

    def fail(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(500, json={"error": {"type": "api_error"}})

    await failure_of(fail)
    assert 1 == calls


@pytest.mark.parametrize(
    ("handler", "exists"),
    [
        (answering(200, {"id": "cus_1", "object": "customer"}), True),
        (answering(200, {"id": "cus_1", "object": "customer", "deleted": True}), False),
        (refusing(404, code="resource_missing"), False),
    ],
)
async def test_a_deleted_customer_does_not_exist_either(handler: Handler, exists: bool) -> None:
    async with billing_over(handler) as billing:
        assert exists is await billing.customer_exists("cus_1")


async def test_a_summary_is_asked_for_in_whole_minutes_and_counts_whole_leads() -> None:
    seen: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        rows = [{"id": "s", "object": "billing.meter_event_summary", "aggregated_value": 7.0}]
        return httpx.Response(200, json={"object": "list", "data": rows, "has_more": False, "url": "/v1/x"})

    async with billing_over(answer) as billing:
        assert 7 == await billing.event_summary("mtr_1", "cus_1", AT, AT.replace(minute=1, second=1))
    minute = int(AT.timestamp()) - 30
    expected = {"start_time": str(minute), "end_time": str(minute + 120), "customer": "cus_1", "limit": "100"}
    assert [expected] == seen


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("usd", Decimal("12.5000")), ("jpy", Decimal("0.1250")), ("kwd", Decimal("125.0000"))],
)
def test_prices_are_told_in_the_smallest_unit_and_not_rounded(currency: str, expected: Decimal) -> None:
    assert expected == in_smallest_unit(Decimal("0.1250"), currency)


@pytest.mark.parametrize(
    ("key", "setting", "expected"),
    [
        *(("sk_test_1", None, 20), ("rk_test_1", None, 20), ("sk_live_1", None, 500), (None, None, 500)),
        *(("sk_test_1", 3.5, 3.5), ("sk_live_1", 900, 900)),
    ],
)
async def test_an_account_is_called_no_more_often_than_it_takes(
    key: str | None, setting: float | None, expected: float
) -> None:
    settings = StripeSettings(
        stripe_api_key=SecretStr(key) if key else None,
        stripe_base_url="http://vendor.test",
        stripe_calls_per_second=setting,
    )
    async with open_stripe(settings) as billing:
        assert expected == billing.calls_per_second
        assert min(5, expected) == billing.reads_per_second


async def test_without_a_key_and_a_stand_in_nothing_starts() -> None:
    with pytest.raises(BadSettings) as caught:
        async with open_stripe(StripeSettings(stripe_api_key=None, stripe_base_url=None)):
            pass
    assert ["STRIPE_API_KEY is not set, nor LEADSAGA_STRIPE_BASE_URL"] == caught.value.faults


async def test_an_opened_client_sends_no_telemetry_and_shows_no_key() -> None:
    async with open_stripe(StripeSettings(stripe_api_key=SecretStr(KEY))) as billing:
        assert stripe.enable_telemetry is False
        assert KEY not in repr(billing)
