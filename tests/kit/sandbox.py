"""A sandbox of its own for a test: started as a process on a free port, stopped at the end."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import stripe
from stripe.billing import MeterEvent
from stripe.params.billing import MeterEventCreateParams

from deploy.sandbox.client import SandboxAdmin

PAUSE = 0.02
"""Seconds until it is looked again, at first: who waits long costs those whom it waits for little."""
START_SECONDS = 20.0
STOP_SECONDS = 10.0
REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_sandbox(data: Path) -> AsyncIterator[str]:
    """The base address of a sandbox that keeps its state in `data`; stopped with SIGTERM at the end."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.sandbox", "--port", str(port), "--data", str(data)), cwd=REPOSITORY
    )
    try:
        base_url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(START_SECONDS):
            await _serving(base_url, process)
        yield base_url
    finally:
        await stopped(process)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Raises TimeoutError when the condition does not come true in time."""
    pause = PAUSE
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 5 * PAUSE)


async def stopped(process: asyncio.subprocess.Process) -> None:
    """Ends the process and holds it to a clean exit."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert code == 0, f"the sandbox ended with {code}"


async def _serving(base_url: str, process: asyncio.subprocess.Process) -> None:
    async with httpx2.AsyncClient(base_url=base_url) as http:
        while process.returncode is None:
            try:
                (await http.get("/healthz")).raise_for_status()
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
            else:
                return
    raise RuntimeError("the sandbox ended before it served")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One server for a module's tests; use `sandbox`, which starts each test with nothing remembered."""
    async with running_sandbox(tmp_path_factory.mktemp("sandbox")) as base_url:
        yield base_url


@pytest_asyncio.fixture
async def admin(sandbox_server: str) -> AsyncIterator[SandboxAdmin]:
    async with SandboxAdmin(sandbox_server) as client:
        await client.reset()
        yield client


@pytest_asyncio.fixture
async def sandbox(sandbox_server: str, admin: SandboxAdmin) -> str:
    """The base address of a sandbox that remembers nothing: `admin` has just reset it."""
    return sandbox_server


@asynccontextmanager
async def stripe_client(base_url: str) -> AsyncIterator[stripe.StripeClient]:
    """The real SDK, pointed at the sandbox, without retries and telemetry."""
    stripe.enable_telemetry = False
    transport = stripe.HTTPXClient(timeout=10)
    yield stripe.StripeClient(
        "sk_test_sandbox",
        http_client=transport,
        base_addresses={"api": f"{base_url}/stripe"},
        max_network_retries=0,
    )
    await transport.close_async()  # type: ignore[no-untyped-call]  # the SDK left it untyped


@pytest_asyncio.fixture
async def stripe_sdk(sandbox: str) -> AsyncIterator[stripe.StripeClient]:
    async with stripe_client(sandbox) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Shop:
    """A customer who pays 50 cents per lead, metered by events named "leads"."""

    sdk: stripe.StripeClient
    customer: str
    meter: str
    price: str
    subscription: str

    async def report(self, identifier: str, value: int | str, timestamp: int | None = None) -> MeterEvent:
        params: MeterEventCreateParams = {
            "event_name": "leads",
            "identifier": identifier,
            "payload": {"stripe_customer_id": self.customer, "value": str(value)},
        }
        if timestamp is not None:
            params["timestamp"] = timestamp
        return await self.sdk.v1.billing.meter_events.create_async(params)


async def opened_shop(sdk: stripe.StripeClient) -> Shop:
    customer = await sdk.v1.customers.create_async({"name": "Nordwind", "metadata": {"tenant": "t1"}})
    product = await sdk.v1.products.create_async({"name": "Leads"})
    meter = await sdk.v1.billing.meters.create_async(
        {"display_name": "Leads", "event_name": "leads", "default_aggregation": {"formula": "sum"}}
    )
    price = await sdk.v1.prices.create_async(
        {
            "currency": "eur",
            "product": product.id,
            "unit_amount": 50,
            "recurring": {"interval": "month", "meter": meter.id, "usage_type": "metered"},
        }
    )
    subscription = await sdk.v1.subscriptions.create_async(
        {"customer": customer.id, "items": [{"price": price.id}]}
    )
    return Shop(sdk, customer.id, meter.id, price.id, subscription.id)


@pytest_asyncio.fixture
async def shop(stripe_sdk: stripe.StripeClient) -> Shop:
    return await opened_shop(stripe_sdk)
