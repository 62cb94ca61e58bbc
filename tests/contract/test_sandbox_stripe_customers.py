"""Customers come and go, and the account of a tenant is opened once, whatever Stripe answers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
import pytest_asyncio
import stripe

from contracts.errors import StepUnknown
from deploy.sandbox.client import SandboxAdmin
from steps.clients.stripe_accounts import Accounts, open_accounts
from steps.clients.stripe_settings import StripeSettings

pytest_plugins = ("tests.kit.sandbox",)
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SAGA = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8058")


@pytest_asyncio.fixture
async def accounts(sandbox: str) -> AsyncIterator[Accounts]:
    async with open_accounts(StripeSettings(stripe_base_url=f"{sandbox}/stripe")) as found:
        yield found


async def opened(accounts: Accounts, saga: UUID = SAGA, *, keys: int = 1) -> str:
    return await accounts.open_customer(
        saga, tenant_id="acme", name="Acme", since=datetime.now(UTC), keys=keys
    )


async def test_a_deleted_customer_says_so_is_in_no_list_and_has_no_subscription(
    accounts: Accounts, stripe_sdk: stripe.StripeClient
) -> None:
    customer = await opened(accounts)
    price = await accounts.price_of("basic", event_name="leads", price_per_lead=Decimal(1), currency="eur")
    subscription = await accounts.subscribe(customer, price, start=datetime.now(UTC))
    await accounts.close_customer(customer)
    await accounts.close_customer(customer)
    assert not await accounts.billing.customer_exists(customer)
    assert [] == (await stripe_sdk.v1.customers.list_async()).data
    assert "canceled" == (await stripe_sdk.v1.subscriptions.retrieve_async(subscription)).status


async def test_a_customer_is_made_once_for_a_saga_and_found_again(accounts: Accounts) -> None:
    first, other = await opened(accounts), await opened(accounts, OTHER)
    assert [first, first] == [await opened(accounts), await opened(accounts, keys=3)]
    assert [first] == await accounts.customers_of(SAGA, datetime.now(UTC))
    assert other != first


async def test_a_failure_that_is_stored_under_a_key_needs_the_next_one(
    accounts: Accounts, admin: SandboxAdmin
) -> None:
    await admin.fault("stripe.customers", method="POST", status=500, times=1)
    for _ in range(2):
        with pytest.raises(StepUnknown):
            await opened(accounts)
    assert [await opened(accounts, keys=2)] == await accounts.customers_of(SAGA, datetime.now(UTC))


async def test_what_comes_late_under_the_key_of_a_closed_account_makes_nothing(
    accounts: Accounts, stripe_sdk: stripe.StripeClient
) -> None:
    dead = await opened(accounts)
    await accounts.close_customer(dead)
    assert dead == await opened(accounts)
    assert [] == (await stripe_sdk.v1.customers.list_async()).data
