"""An engine on each store, with two tenants."""

from collections.abc import AsyncIterator

import pytest

from contracts.process.postgres import connect
from contracts.process.settings import PoolSettings
from tests.kit.engine import Engine, MemoryWorld, Time, make_engine
from tests.kit.roles import as_role
from tests.kit.store_postgres import ADD_PLAN, PostgresWorld
from tests.kit.store_world import World


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.services)])
def world(request: pytest.FixtureRequest, time: Time) -> World:
    if request.param == "memory":
        return MemoryWorld(time)
    found: World = request.getfixturevalue("postgres_world")
    return found


@pytest.fixture
async def postgres_world(database_url: str) -> AsyncIterator[PostgresWorld]:
    async with (
        connect(as_role(database_url, "leadsaga_engine"), PoolSettings(), name="test") as engine,
        connect(database_url, PoolSettings(pool_size=2), name="test") as owner,
    ):
        await owner.pool.execute(ADD_PLAN)
        yield PostgresWorld(engine, owner)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def engine(world: World, time: Time) -> Engine:
    await world.add_tenant("acme")
    await world.add_tenant("blue")
    return make_engine(world, time)
