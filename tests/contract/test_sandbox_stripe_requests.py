"""Keys, parameters and paging: what Stripe does before and around every endpoint."""

import asyncio

import httpx2
import pytest
import stripe
from stripe.params import CustomerCreateParams

from deploy.sandbox.client import SandboxAdmin

pytest_plugins = ("tests.kit.sandbox",)
# The SDK's httpx transport passes bytes in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

DAY = 86_400


async def create(sdk: stripe.StripeClient, name: str, key: str) -> stripe.Customer:
    params: CustomerCreateParams = {"name": name}
    return await sdk.v1.customers.create_async(params, {"idempotency_key": key})


async def names(sdk: stripe.StripeClient) -> list[str | None]:
    return [customer.name for customer in (await sdk.v1.customers.list_async()).data]


async def test_the_same_key_replays_the_first_answer(stripe_sdk: stripe.StripeClient) -> None:
    first, second = await create(stripe_sdk, "A", "key-1"), await create(stripe_sdk, "A", "key-1")
    assert first.id == second.id
    assert second.last_response is not None
    assert second.last_response.headers["idempotent-replayed"] == "true"
    assert await names(stripe_sdk) == ["A"]


async def test_the_same_key_with_other_parameters_is_an_idempotency_error(
    stripe_sdk: stripe.StripeClient,
) -> None:
    await create(stripe_sdk, "A", "key-1")
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as raised:
        await create(stripe_sdk, "B", "key-1")
    assert raised.value.http_status == 400


async def test_a_key_in_use_is_409(stripe_sdk: stripe.StripeClient, admin: SandboxAdmin) -> None:
    await admin.settings(stripe_latency_seconds=0.2)
    results = await asyncio.gather(
        *(create(stripe_sdk, "A", "key-1") for _ in range(2)), return_exceptions=True
    )
    (error,) = [result for result in results if isinstance(result, stripe.StripeError)]
    assert error.http_status == 409
    assert error.error is not None
    assert error.error.code == "idempotency_key_in_use"
    assert await names(stripe_sdk) == ["A"]


async def test_a_key_is_forgotten_after_24_hours(
    stripe_sdk: stripe.StripeClient, admin: SandboxAdmin
) -> None:
    await create(stripe_sdk, "A", "key-1")
    await admin.settings(now_offset_seconds=float(DAY + 60))
    await create(stripe_sdk, "B", "key-1")
    assert await names(stripe_sdk) == ["B", "A"]


async def test_a_500_is_stored_and_replayed_so_only_another_key_gets_through(
    stripe_sdk: stripe.StripeClient, admin: SandboxAdmin
) -> None:
    await admin.fault("stripe.customers", status=500, times=1)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as raised:
            await create(stripe_sdk, "A", "key-1")
        assert raised.value.http_status == 500
        assert raised.value.headers is not None
        assert raised.value.headers["stripe-should-retry"] == "false"
    await create(stripe_sdk, "A", "key-2")
    assert await names(stripe_sdk) == ["A"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_429_or_503_is_not_stored_so_the_same_key_gets_through(
    stripe_sdk: stripe.StripeClient, admin: SandboxAdmin, status: int
) -> None:
    await admin.fault("stripe.*", status=status, times=1)
    with pytest.raises(stripe.StripeError) as raised:
        await create(stripe_sdk, "A", "key-1")
    assert status == raised.value.http_status
    await create(stripe_sdk, "A", "key-1")
    assert await names(stripe_sdk) == ["A"]


async def test_an_error_after_the_effect_leaves_the_effect_in_place(
    stripe_sdk: stripe.StripeClient, admin: SandboxAdmin
) -> None:
    await admin.fault("stripe.customers", status=502, effect=True, times=1)
    with pytest.raises(stripe.APIError):
        await create(stripe_sdk, "A", "key-1")
    await create(stripe_sdk, "A", "key-1")
    assert await names(stripe_sdk) == ["A"]


async def test_a_refused_parameter_is_named_and_does_not_use_up_the_key(
    stripe_sdk: stripe.StripeClient,
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter: nmae") as raised:
        await stripe_sdk.raw_request_async("post", "/v1/customers", nmae="A", idempotency_key="key-1")
    assert (raised.value.code, raised.value.param) == ("parameter_unknown", "nmae")
    await create(stripe_sdk, "A", "key-1")


async def test_a_missing_object_is_404(stripe_sdk: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_none'") as raised:
        await stripe_sdk.v1.customers.retrieve_async("cus_none")
    assert (raised.value.code, raised.value.http_status) == ("resource_missing", 404)


async def test_an_unknown_path_is_404(stripe_sdk: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        await stripe_sdk.v1.payouts.list_async()


async def test_a_call_without_a_key_is_401(sandbox: str) -> None:
    async with httpx2.AsyncClient(base_url=sandbox) as http:
        answer = await http.get("/stripe/v1/customers")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_lists_are_paged_newest_first(stripe_sdk: stripe.StripeClient) -> None:
    for number in range(5):
        await create(stripe_sdk, f"C{number}", f"key-{number}")
    page = await stripe_sdk.v1.customers.list_async({"limit": 2})
    assert ([customer.name for customer in page.data], page.has_more) == (["C4", "C3"], True)
    assert [customer.name async for customer in page.auto_paging_iter()] == ["C4", "C3", "C2", "C1", "C0"]
