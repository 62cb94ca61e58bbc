"""One system on servers of its own for all tests that break something; each leaves it healthy."""

from collections.abc import AsyncIterator

import pytest_asyncio

from deploy.local.place import temporary
from tests.kit.breakable import Breakable, breakable_system
from tests.kit.system import Tenant

DRAIN_SECONDS = 6
AHEAD = 10
SETTINGS = {
    "LEADSAGA_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "LEADSAGA_PUBLISH_TIMEOUT": "2",
    "LEADSAGA_MESSAGES_AHEAD": str(AHEAD),
    "LEADSAGA_NOTICE_INTERVAL": "2",
}


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def breakable() -> AsyncIterator[Breakable]:
    with temporary() as directory:
        async with breakable_system(directory, settings=SETTINGS) as system:
            yield system


@pytest_asyncio.fixture(loop_scope="package")
async def tenant(breakable: Breakable) -> Tenant:
    return await breakable.system.tenant()
