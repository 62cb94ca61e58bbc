"""What is settled by hand is forbidden to late copies of its command, in the transaction that orders."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from contracts.messages import Command
from contracts.outcomes import Done
from contracts.process.postgres import Database, connect
from contracts.process.settings import PoolSettings
from orchestrator.core.news import DeadLettered
from orchestrator.operate.errors import Refused
from orchestrator.operate.orders import Ordered, Verdict, order
from steps.runtime.batch import run_batch
from steps.runtime.effects_postgres import PostgresMemory
from steps.runtime.ruling import UNDONE
from tests.integration.operate.conftest import Audit, Tool
from tests.integration.operate.test_orders import KEY, orchestrator, parked, status
from tests.integration.store.test_postgres_store import blocked
from tests.kit.commands import BatchProbe, command
from tests.kit.roles import as_role
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import NOON, begin, done, incoming, rejected, start, tell

INSERT = "INSERT INTO effects (tenant_id, saga_id, step, direction, state) VALUES"
LATE = command(*KEY, step="record_usage")


@pytest.fixture
async def memory(database_url: str) -> AsyncIterator[PostgresMemory]:
    """The steps' side."""
    async with connect(as_role(database_url, "leadsaga_steps"), PoolSettings(), name="test") as database:
        yield PostgresMemory(database)


async def deliver(memory: PostgresMemory, late: Command = LATE) -> Any:
    """A copy of a command arrives: what it is answered, and whether anything ran."""
    probe = BatchProbe()
    (reply,) = (await run_batch(memory, probe.do(), [late])).replies
    return reply.outcome, bool(probe.ran)


async def settle(operators: Database, verdict: Verdict) -> Ordered:
    return await order(
        operators, str(KEY[1]), "resolve", actor="ann", reason="looked it up", verdict=verdict, wait=0
    )


async def effects(world: PostgresWorld) -> list[tuple[Any, ...]]:
    found = await world.owner.pool.fetch("SELECT step, direction, state FROM effects ORDER BY 1, 2")
    return [tuple(each) for each in found]


async def parked_undo(world: PostgresWorld) -> None:
    """What was reserved could not be given back."""
    await begin(world, incoming(1))
    await tell(world, [KEY], start(), done("reserve_quota"), rejected("generate_leads"))
    died = DeadLettered(at=NOON, step="reserve_quota", direction="undo", attempt=1, reason="it kills")
    await tell(world, [KEY], died)
    assert "parked" == await status(world)


async def test_a_late_copy_of_what_was_settled_as_not_done_does_nothing(
    world: PostgresWorld, operator: Tool, memory: PostgresMemory, audit: Audit
) -> None:
    await parked(world)
    async with orchestrator(world):
        ran = await operator(
            "sagas", "resolve", KEY[1], "--as", "not_done", "--reason", "looked it up", "--json"
        )
    assert (0, "done", "unwinding") == (ran.code, ran.json["result"], await status(world))
    assert (UNDONE, False) == await deliver(memory)
    (row,) = await audit()
    assert '"effect": "undone"' in row["after"]


async def test_the_mark_is_there_before_the_orchestrator_has_taken_the_order(
    world: PostgresWorld, operators: Database, memory: PostgresMemory
) -> None:
    await parked(world)
    await settle(operators, "not_done")
    assert (UNDONE, False) == await deliver(memory)


async def test_what_has_happened_cannot_be_settled_as_not_done(
    world: PostgresWorld, operators: Database, memory: PostgresMemory, audit: Audit
) -> None:
    await parked(world)
    assert (Done(facts={"attempt": 1}), True) == await deliver(memory)
    with pytest.raises(Refused, match=r"record_usage has happened.* resolve it as done"):
        await settle(operators, "not_done")
    assert ([("record_usage", "do", "done")], [], []) == (
        await effects(world), await audit(), await world.store.open_orders(limit=5),
    )  # fmt: skip
    await settle(operators, "done")
    assert [("record_usage", "do", "done")] == await effects(world)


async def test_a_copy_that_is_just_running_is_waited_for(
    world: PostgresWorld, operators: Database, memory: PostgresMemory
) -> None:
    await parked(world)
    probe, gate, running = BatchProbe(), asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> None:
        running.set()
        await gate.wait()

    probe.script[KEY[1]] = slow
    copy = asyncio.create_task(run_batch(memory, probe.do(), [LATE]))
    await running.wait()
    settling = asyncio.create_task(settle(operators, "not_done"))
    await blocked(world)
    gate.set()
    await copy
    with pytest.raises(Refused, match="has happened"):
        await settling


async def test_an_undo_settled_as_done_forbids_its_step_and_clears_what_it_owed(
    world: PostgresWorld, operators: Database, memory: PostgresMemory
) -> None:
    await parked_undo(world)
    late = command(*KEY, step="reserve_quota")
    assert (Done(facts={"attempt": 1}), True) == await deliver(memory, late)
    await world.owner.pool.execute("UPDATE effects SET owed = true")
    await settle(operators, "done")
    assert [("reserve_quota", "do", "undone")] == await effects(world)
    assert not await world.owner.pool.fetchval("SELECT owed FROM effects")
    assert (UNDONE, False) == await deliver(memory, late)


async def test_what_may_not_be_settled_so_leaves_no_mark(
    world: PostgresWorld, operators: Database, audit: Audit
) -> None:
    await parked_undo(world)
    with pytest.raises(Refused, match="parked at release_quota: an undo can only be settled as done"):
        await settle(operators, "not_done")
    assert ([], []) == (await effects(world), await audit())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE effects SET state = 'open'",
        "UPDATE effects SET state = 'done'",
        "UPDATE effects SET attempt = 9",
        "UPDATE effects SET answer = NULL",
        "DELETE FROM effects",
        f"{INSERT} ('acme', '{KEY[1]}', 'x', 'do', 'open')",
        f"{INSERT} ('acme', '{KEY[1]}', 'x', 'do', 'done')",
        f"{INSERT} ('acme', '{KEY[1]}', 'x', 'undo', 'undone')",
        f"{INSERT} ('blue', '{KEY[1]}', 'x', 'do', 'undone')",
    ],
)
async def test_operators_can_do_nothing_else_to_effects(
    world: PostgresWorld, operators: Database, memory: PostgresMemory, statement: str
) -> None:
    await parked(world)
    await deliver(memory)
    before = await effects(world)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with operators.transaction("acme") as connection:
            await connection.execute(statement)
    assert before == await effects(world)


async def test_operators_reach_the_effects_of_the_tenant_they_named_only(
    world: PostgresWorld, operators: Database, memory: PostgresMemory
) -> None:
    await parked(world)
    await deliver(memory)
    for tenant_id in ("blue", None):
        async with operators.transaction(tenant_id) as connection:
            assert "UPDATE 0" == await connection.execute("UPDATE effects SET state = 'undone'")
    assert [("record_usage", "do", "done")] == await effects(world)
