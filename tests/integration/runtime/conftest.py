"""Two tenants, whose commands a step probe runs on a real Postgres."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.commands import BatchProbe
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        await world.tenant("globex")
        yield world


@pytest.fixture
def probe() -> BatchProbe:
    return BatchProbe()
