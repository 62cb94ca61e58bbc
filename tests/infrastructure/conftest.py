"""One system on servers of its own for all tests that break something. Each leaves it healthy; of one that
fails nobody knows what it leaves, so the next test gets a new one."""

from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from deploy.local.place import temporary
from tests.kit.breakable import Breakable, breakable_system
from tests.kit.system import Tenant

DRAIN_SECONDS = 6
AHEAD = 10
"""Requests and replies, each."""
BUNDLES_AHEAD = 2
SIDE_BY_SIDE = 5
SETTINGS = {
    "LEADSAGA_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "LEADSAGA_PUBLISH_TIMEOUT": "2",
    "LEADSAGA_MESSAGES_AHEAD": str(AHEAD),
    "LEADSAGA_BUNDLES_AHEAD": str(BUNDLES_AHEAD),
    "LEADSAGA_SIDE_BY_SIDE": str(SIDE_BY_SIDE),
    "LEADSAGA_MODEL_CALL_TIMEOUT": "20",
    # What a call that was broken off has left is free again after three times as long.
    "LEADSAGA_STRIPE_CALL_TIMEOUT": "3",
    "LEADSAGA_DISCORD_CALL_TIMEOUT": "3",
    "LEADSAGA_NOTICE_INTERVAL": "2",
}
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@dataclass(slots=True)
class Stand:
    """Where the system stands that tests break."""

    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    system: Breakable | None = None

    async def there(self) -> Breakable:
        if self.system is None:
            directory = self.stack.enter_context(temporary())
            self.system = await self.stack.enter_async_context(breakable_system(directory, settings=SETTINGS))
        return self.system

    async def clear(self) -> None:
        self.system = None
        await self.stack.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stand() -> AsyncIterator[Stand]:
    found = Stand()
    try:
        yield found
    finally:
        await found.clear()


@pytest_asyncio.fixture(loop_scope="package")
async def breakable(stand: Stand, request: pytest.FixtureRequest) -> AsyncIterator[Breakable]:
    yield await stand.there()
    if request.node.stash[FAILED]:
        await stand.clear()


@pytest_asyncio.fixture(loop_scope="package")
async def tenant(breakable: Breakable) -> Tenant:
    return await breakable.system.tenant()
