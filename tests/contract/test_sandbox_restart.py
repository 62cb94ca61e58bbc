"""What the sandbox answered is still so after a restart on the same directory."""

import asyncio
import sys
from pathlib import Path

import pytest
import stripe

from deploy.sandbox.client import SandboxAdmin
from tests.kit.sandbox import REPOSITORY, Shop, opened_shop, running_sandbox, stripe_client, until

# The SDK's httpx transport passes bytes in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Usage, identifiers, idempotency keys, faults, webhooks, settings and calls survive."""
    async with running_sandbox(tmp_path) as url, stripe_client(url) as sdk, SandboxAdmin(url) as admin:
        shop = await opened_shop(sdk)
        await shop.report("batch-1", 25)
        kept = await sdk.v1.customers.create_async({"name": "A"}, {"idempotency_key": "key-1"})
        await admin.fault("stripe.invoices", status=503)
        await admin.register_webhook("77", "token")
        await admin.settings(discord_bucket_limit=9)
        calls, usage = await admin.calls(), await admin.usage()
    async with running_sandbox(tmp_path) as url, stripe_client(url) as sdk, SandboxAdmin(url) as admin:
        again = Shop(sdk, shop.customer, shop.meter, shop.price, shop.subscription)
        assert (calls, usage) == (await admin.calls(), await admin.usage())
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            await again.report("batch-1", 25)
        replayed = await sdk.v1.customers.create_async({"name": "A"}, {"idempotency_key": "key-1"})
        assert kept.id == replayed.id
        with pytest.raises(stripe.APIError):
            await sdk.v1.invoices.list_async()
        assert (await admin.settings())["discord_bucket_limit"] == 9


async def test_a_call_held_back_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    async with running_sandbox(tmp_path) as url, stripe_client(url) as sdk, SandboxAdmin(url) as admin:
        await admin.fault("stripe.customers", delay_seconds=600)
        held = asyncio.create_task(sdk.v1.customers.create_async({"name": "A"}))

        async def received() -> bool:
            return bool(await admin.calls("stripe.customers"))

        await until(received)
    with pytest.raises(stripe.StripeError):
        await held


async def test_a_missing_port_is_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.sandbox", "--data", str(tmp_path)),
        cwd=REPOSITORY,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"--port" in told
