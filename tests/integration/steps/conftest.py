"""Tenants whose steps are at work, with stand-ins for Stripe and for the process."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.stand_ins import FakeStripe, FakeWorker
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as world:
        yield world


@pytest.fixture
def stripe() -> FakeStripe:
    return FakeStripe()


@pytest.fixture
def worker(world: TenantsAtWork, stripe: FakeStripe) -> FakeWorker:
    return FakeWorker(world.database, stripe)
