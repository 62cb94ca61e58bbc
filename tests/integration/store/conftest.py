"""A world around a store on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest

from contracts.process.postgres import connect
from contracts.process.settings import PoolSettings
from tests.kit.roles import as_role
from tests.kit.store_postgres import ADD_PLAN, PostgresWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[PostgresWorld]:
    pool = PoolSettings()
    engine_url = as_role(database_url, "leadsaga_engine")
    async with (
        connect(engine_url, pool, name="test") as engine,
        connect(database_url, pool, name="test") as owner,
    ):
        await owner.pool.execute(ADD_PLAN)
        yield PostgresWorld(engine, owner)
