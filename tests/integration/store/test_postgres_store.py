"""The store on Postgres keeps the promises of a store, as the role that the orchestrator runs with."""

import asyncio

import asyncpg
import pytest

from orchestrator.store.port import Admitted, Attached, Group
from orchestrator.store.postgres_group import PostgresGroup
from orchestrator.store.queries import QUERIES
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_suite import StoreSuite
from tests.kit.store_world import MINUTE, NOON, begin, done, incoming, saga_id, start, tell, tell_in

pytestmark = pytest.mark.services


class TestPostgresStore(StoreSuite):
    pass


async def test_the_engine_may_run_every_statement(world: PostgresWorld) -> None:
    async with world.engine.transaction() as connection:
        for query in QUERIES.values():
            if query.name == "settings":
                await connection.execute(query.sql)
            else:
                prepared = await connection.prepare(query.sql)
                assert query.sql == prepared.get_query()


@pytest.mark.parametrize("name", ["leads", "ledger", "holds", "effects", "discord_webhooks", "model_calls"])
async def test_the_engine_reads_nothing_of_what_steps_made(world: PostgresWorld, name: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.engine.pool.fetch(f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    "text", ["SELECT name FROM tenants", "DELETE FROM saga_log", "UPDATE requests SET saga = ''"]
)
async def test_the_engine_cannot_do_more_than_it_needs(world: PostgresWorld, text: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.engine.pool.execute(text)


async def blocked(world: PostgresWorld) -> None:
    """Returns once a session waits for a lock of another one."""
    waits = "wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while not await world.owner.pool.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waits}"):
            pass


async def test_a_request_that_another_group_is_admitting_is_waited_for(world: PostgresWorld) -> None:
    await world.add_tenant("acme")

    async def second() -> object:
        async with world.store.group() as group:
            return await group.admit([incoming(2, name="r-1")])

    async with world.store.group() as group:
        assert [Admitted(("acme", saga_id(1)))] == await group.admit([incoming(1)])
        waiting = asyncio.create_task(second())
        await blocked(world)
    assert [Attached(("acme", saga_id(1)))] == await waiting


async def test_a_group_waits_for_sagas_that_another_group_has_loaded_and_sees_its_changes(
    world: PostgresWorld,
) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))
    async with world.store.group() as group:
        await tell_in(group, [key], start())
        waiting = asyncio.create_task(tell(world, [key], done("reserve_quota")))
        await blocked(world)
    await waiting
    assert "succeeded" in [entry.kind for entry in await world.history(key)]


async def test_turns_pass_over_sagas_that_another_group_has_locked(world: PostgresWorld) -> None:
    await world.add_tenant("acme")
    await world.add_tenant("blue")
    one, two, _ = await begin(world, incoming(1), incoming(2), incoming(3, tenant="blue"))
    async with world.store.group() as group, world.store.group() as starter:
        await group.load([one])
        turns = await starter.turns(limit=2, tenants=[])
    assert (("blue", saga_id(3)), two) == turns.waiting


async def test_postponing_never_undoes_what_another_group_just_decided(world: PostgresWorld) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))
    await tell(world, [key], start(), done("reserve_quota"))
    late = NOON + 10 * MINUTE
    async with world.store.group() as group:
        await tell_in(group, [key], done("generate_leads", late))
        waiting = asyncio.create_task(world.store.postpone([key], late))
        await blocked(world)
    await waiting
    assert [] == await world.store.due(late, limit=5)
    assert [key] == await world.store.due(late + MINUTE, limit=5)


async def updates(group: Group) -> tuple[int, int]:
    """How many rows of sagas this session has updated, and how many of them without touching an index."""
    assert isinstance(group, PostgresGroup)
    counted = await group.connection.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'sagas'"
    )
    return counted["n_tup_upd"], counted["n_tup_hot_upd"]


async def test_a_usual_step_leaves_the_indexes_of_its_saga_alone(world: PostgresWorld) -> None:
    await world.add_tenant("acme")
    keys = await begin(world, *(incoming(n) for n in range(1, 4)))
    await tell(world, keys, start())
    async with world.store.group() as group:
        all_before, hot_before = await updates(group)
        await tell_in(group, keys, done("reserve_quota"))
        all_after, hot_after = await updates(group)
    assert (3, 3) == (all_after - all_before, hot_after - hot_before)
