"""The store on Postgres keeps the promises of a store, as the role that the orchestrator runs with."""

import asyncio

import asyncpg
import pytest

from orchestrator.core.state import replay
from orchestrator.sagas.lead import LEAD
from orchestrator.store.errors import LogConflict
from orchestrator.store.port import Admitted, Attached, Group
from orchestrator.store.postgres import PostgresStore
from orchestrator.store.postgres_group import PostgresGroup
from orchestrator.store.queries import QUERIES
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_suite import StoreSuite
from tests.kit.store_world import MINUTE, NOON, begin, change, done, incoming, saga_id, start, tell, tell_in

pytestmark = pytest.mark.services


class TestPostgresStore(StoreSuite):
    pass


async def test_the_engine_may_run_every_statement(world: PostgresWorld) -> None:
    async with world.engine.transaction() as connection:
        for query in QUERIES.values():
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


async def test_a_group_waits_for_one_that_is_moving_the_same_saga_and_is_refused(
    world: PostgresWorld,
) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))
    async with world.store.group() as group:
        await tell_in(group, [key], start())
        waiting = asyncio.create_task(tell(world, [key], start()))
        await blocked(world)
    with pytest.raises(LogConflict):
        await waiting
    assert ["accepted", "started", "requested"] == [entry.kind for entry in await world.history(key)]


async def test_turns_pass_over_sagas_that_another_group_is_moving(world: PostgresWorld) -> None:
    await world.add_tenant("acme")
    await world.add_tenant("blue")
    one, two, _ = await begin(world, incoming(1), incoming(2), incoming(3, tenant="blue"))
    async with world.store.group() as group, world.store.group() as starter:
        await tell_in(group, [one], start())
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


async def test_what_a_process_knows_of_a_saga_is_not_believed_once_another_one_has_moved_it(
    world: PostgresWorld,
) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))
    other = PostgresStore(world.engine, versions=[("lead", 1)])
    for step in ("reserve_quota", "generate_leads", "record_usage"):
        for store in (world.store, other):
            stored = (await store.load([key]))[key]
            assert replay(LEAD, await world.history(key)) == stored.state
        await other.save([change(LEAD, stored, start() if stored.entries == 1 else done(step))])


async def test_what_a_group_wrote_and_took_back_is_not_known(world: PostgresWorld) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))

    async def move_and_fail() -> None:
        async with world.store.group() as group:
            await tell_in(group, [key], start())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await move_and_fail()
    stored = (await world.store.load([key]))[key]
    assert (1, "waiting") == (stored.entries, stored.state.status)


async def test_of_a_saga_that_a_process_wrote_last_nothing_but_the_length_of_its_log_is_read(
    world: PostgresWorld,
) -> None:
    await world.add_tenant("acme")
    (key,) = await begin(world, incoming(1))
    await world.owner.pool.execute("UPDATE leadsaga.sagas SET state = '{}'")
    stored = (await world.store.load([key]))[key]
    assert "waiting" == stored.state.status
    fresh = PostgresStore(world.engine, versions=[("lead", 1)])
    assert "new" == (await fresh.load([key]))[key].state.status
