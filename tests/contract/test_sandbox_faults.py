"""Faults happen on the calls they are meant for, as often as ordered, with the effect they promise."""

import asyncio
import time
from typing import Any

import httpx2
import pytest
import stripe

from deploy.sandbox.client import SandboxAdmin
from tests.kit.sandbox import Shop, until

pytest_plugins = ("tests.kit.sandbox",)
# The SDK's httpx transport passes bytes in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def test_a_connection_dropped_before_the_effect_leaves_none(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", drop="before", times=1)
    with pytest.raises(stripe.APIConnectionError):
        await shop.report("batch-1", 25)
    assert await admin.usage() == []
    (call,) = await admin.calls("stripe.meter_events")
    assert (call["identifier"], call["status"], call["dropped"]) == ("batch-1", None, True)


async def test_a_connection_dropped_after_the_effect_leaves_it(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", drop="after", times=1)
    with pytest.raises(stripe.APIConnectionError):
        await shop.report("batch-1", 25)
    assert (await admin.usage())[0]["total"] == 25
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        await shop.report("batch-1", 25)


async def test_a_delay_alone_is_a_slow_success(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", delay_seconds=0.3, times=1)
    started = time.monotonic()
    await shop.report("batch-1", 25)
    assert time.monotonic() - started >= 0.3


async def test_a_delayed_call_takes_effect_although_the_client_has_gone(
    shop: Shop, sandbox: str, admin: SandboxAdmin
) -> None:
    await admin.fault("stripe.meter_events", delay_seconds=0.5, times=1)
    body = f"event_name=leads&payload[stripe_customer_id]={shop.customer}&payload[value]=25"
    headers = {"authorization": "Bearer sk", "content-type": "application/x-www-form-urlencoded"}
    async with httpx2.AsyncClient(base_url=sandbox, timeout=0.1) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post("/stripe/v1/billing/meter_events", content=body, headers=headers)
    assert await admin.usage() == []

    async def counted() -> bool:
        return [usage["total"] for usage in await admin.usage()] == [25]

    await until(counted)


async def test_a_fault_meets_only_calls_that_match(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", match="batch-2", status=503)
    await shop.report("batch-1", 1)
    with pytest.raises(stripe.APIError):
        await shop.report("batch-2", 1)


async def test_a_fault_ends_after_its_times_or_when_cleared(shop: Shop, admin: SandboxAdmin) -> None:
    await admin.fault("stripe.meter_events", status=503, times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await shop.report("batch-1", 1)
    await shop.report("batch-1", 1)
    lasting = await admin.fault("stripe.*", status=503)
    assert [fault["remaining"] for fault in await admin.faults()] == [0, None]
    await admin.clear_faults(lasting)
    await shop.report("batch-2", 1)


async def test_a_chance_repeats_with_its_seed(shop: Shop, admin: SandboxAdmin) -> None:
    async def run() -> list[Any]:
        await admin.clear_faults()
        await admin.fault("stripe.customers.retrieve", status=503, probability=0.5, seed=4)
        answers = [shop.sdk.v1.customers.retrieve_async(shop.customer) for _ in range(20)]
        results = [await asyncio.gather(answer, return_exceptions=True) for answer in answers]
        return [isinstance(result, stripe.APIError) for (result,) in results]

    first = await run()
    assert {True, False} == set(first)
    assert first == await run()


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"status": 200},
        {"drop": "later"},
        {"status": 500, "drop": "after"},
        {"delay": 1},
        {"effect": True},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(admin: SandboxAdmin, details: dict[str, Any]) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="400"):
        await admin.fault("stripe.*", **details)
    assert await admin.faults() == []


async def test_an_unknown_setting_is_refused(admin: SandboxAdmin) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="400"):
        await admin.settings(warp=9)
