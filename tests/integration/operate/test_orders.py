"""An order is a row with its audit row; the tool waits for what the orchestrator makes of it."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import uuid_utils.compat

from contracts.process.postgres import Database
from orchestrator.core.news import DeadLettered
from orchestrator.operate.errors import Refused
from orchestrator.operate.orders import Ordered, order
from orchestrator.run import items
from orchestrator.run.group import process
from orchestrator.run.work import Surroundings
from orchestrator.sagas import sagas
from orchestrator.sagas.lead import LEAD
from orchestrator.store.port import SagaKey
from tests.integration.operate.conftest import Audit, Tool
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import NOON, begin, done, incoming, saga_id, start, tell

KEY = ("acme", saga_id(1))


@asynccontextmanager
async def orchestrator(world: PostgresWorld) -> AsyncIterator[None]:
    """Takes orders as they come, as the orchestrator does."""
    around = Surroundings(
        store=world.store,
        sagas=sagas(),
        clock=lambda: NOON,
        draw=random.random,
        new_id=uuid_utils.compat.uuid7,
        limit=10,
    )

    async def take() -> None:
        while True:
            orders = await world.store.open_orders(limit=10)
            await process(around, [items.Ordered(each) for each in orders])

    task = asyncio.create_task(take())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def parked(world: PostgresWorld) -> UUID:
    """A saga whose pivot ended in the dead letters: it may have happened."""
    await begin(world, incoming(1))
    await park(world, KEY)
    return KEY[1]


async def park(world: PostgresWorld, key: SagaKey) -> None:
    await tell(world, [key], start(), done("reserve_quota"), done("generate_leads"))
    died = DeadLettered(at=NOON, step="record_usage", direction="do", attempt=1, reason="kills its consumer")
    await tell(world, [key], died)
    assert "parked" == await status(world, key)


async def status(world: PostgresWorld, key: SagaKey = KEY) -> str:
    query = "SELECT status FROM sagas WHERE tenant_id = $1 AND saga_id = $2"
    return str(await world.owner.pool.fetchval(query, *key))


async def test_a_replay_is_carried_out_and_audited(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    saga = await parked(world)
    async with orchestrator(world):
        ran = await operator("replay", saga, "--reason", "it was fixed", "--json")
    assert (0, "done", "running") == (ran.code, ran.json["result"], await status(world))
    (row,) = await audit()
    assert ("ann", "order replay", "acme", saga, "it was fixed") == tuple(
        row[name] for name in ("actor", "action", "tenant_id", "saga_id", "reason")
    )
    shown = (await operator("show", saga)).out
    assert "replay ordered" in shown
    assert "it was fixed (by ann)" in shown


async def test_what_the_saga_does_not_allow_is_refused_with_the_reason_and_not_ordered(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    await begin(world, incoming(1))
    ran = await operator("replay", saga_id(1), "--reason", "try")
    assert (1, "refused: the saga is waiting\n") == (ran.code, ran.err)
    assert ([], []) == (await audit(), await world.store.open_orders(limit=10))


@pytest.mark.parametrize("command", [["replay"], ["resolve", "--as", "done"], ["cancel"]])
async def test_what_comes_too_late_is_told_what_happened_and_when(
    world: PostgresWorld, operator: Tool, command: list[str]
) -> None:
    await parked(world)
    async with orchestrator(world):
        assert 0 == (await operator("sagas", "replay", KEY[1], "--reason", "mended")).code
        late = await operator("sagas", *command, KEY[1], "--reason", "me too")
        replayed = f"the saga is running at record_usage: it was replayed by ann at {NOON:%Y-%m-%d %H:%M:%S}"
        assert late.code == (0 if command == ["cancel"] else 1)
        assert command == ["cancel"] or f"refused: {replayed}\n" == late.err
    steps = [done(step.name, attempt=1) for step in LEAD.steps[2:]]
    await tell(world, [KEY], *steps)
    over = await operator("sagas", *command, KEY[1], "--reason", "much later")
    assert (1, f"refused: the saga completed at {NOON:%Y-%m-%d %H:%M:%S}\n") == (over.code, over.err)


async def test_of_two_operators_at_once_one_replays_and_the_other_is_told_so(
    world: PostgresWorld, operators: Database, audit: Audit
) -> None:
    await parked(world)
    orders = [order(operators, str(KEY[1]), "replay", actor=who, reason="mended", wait=0) for who in "ab"]
    done_, refused = sorted(
        await asyncio.gather(*orders, return_exceptions=True), key=lambda it: isinstance(it, Refused)
    )
    assert isinstance(done_, Ordered)
    (row,) = await audit()
    expected = rf"{row['actor']} ordered replay at .*, and no orchestrator has taken it yet: is one running\?"
    assert re.fullmatch(expected, str(refused))
    assert 1 == len(await world.store.open_orders(limit=10))


async def test_a_dry_run_says_what_a_replay_would_do_and_does_nothing(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    await parked(world)
    ran = await operator("replay", KEY[1], "--dry-run", "--json")
    does = f"asks record_usage for attempt 2, in saga {KEY[1]} of tenant acme"
    told = {"does": does, "attempts": 1, "cost": "nothing outside of our database", "refused": ""}
    assert (0, told) == (ran.code, ran.json)
    assert "Nothing was done" in (await operator("sagas", "replay", KEY[1], "--dry-run")).out
    assert ([], []) == (await audit(), await world.store.open_orders(limit=10))
    await operator("replay", KEY[1], "--reason", "x", "--wait", "0")
    ran = await operator("replay", KEY[1], "--dry-run", "--json")
    assert (1, True) == (ran.code, "ann ordered replay" in ran.json["refused"])


async def test_a_parked_step_is_settled_by_hand(world: PostgresWorld, operator: Tool) -> None:
    saga = await parked(world)
    async with orchestrator(world):
        ran = await operator("resolve", saga, "--as", "not_done", "--reason", "looked it up")
    assert (0, "unwinding") == (ran.code, await status(world))
    assert "settled by hand: not done" in (await operator("show", saga)).out


async def test_a_saga_under_way_is_cancelled(world: PostgresWorld, operator: Tool) -> None:
    await begin(world, incoming(1))
    await tell(world, [KEY], start())
    async with orchestrator(world):
        ran = await operator("cancel", saga_id(1), "--reason", "changed my mind")
    assert (0, "unwinding") == (ran.code, await status(world))


@pytest.mark.parametrize("command", [["replay"], ["resolve", "--as", "done"], ["cancel"]])
async def test_an_order_also_takes_a_request_id_with_its_tenant_if_several_have_it(
    world: PostgresWorld, operator: Tool, command: list[str]
) -> None:
    await world.add_tenant("blue")
    requests = incoming(1, name="same"), incoming(2, tenant="blue", name="same"), incoming(3)
    for key in await begin(world, *requests):
        await park(world, key)
    order = (*command, "--reason", "x", "--wait", "0", "--json")
    assert 1 == (await operator(*order, "same")).code
    assert str(saga_id(2)) == (await operator(*order, "same", "--tenant", "blue")).json["saga_id"]
    assert str(saga_id(3)) == (await operator(*order, "r-3")).json["saga_id"]
    ordered = [order.key for order in await world.store.open_orders(limit=10)]
    assert [("blue", saga_id(2)), ("acme", saga_id(3))] == ordered


async def test_an_order_that_nobody_takes_in_time_stays(world: PostgresWorld, operator: Tool) -> None:
    saga = await parked(world)
    ran = await operator("replay", saga, "--reason", "later", "--wait", "0")
    assert (4, True) == (ran.code, "not taken yet" in ran.out)
    assert ["later"] == [order.reason for order in await world.store.open_orders(limit=10)]


async def test_an_order_for_a_saga_that_does_not_exist_is_not_written(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    ran = await operator("replay", saga_id(9), "--reason", "why not")
    assert (3, [], []) == (ran.code, await audit(), await world.store.open_orders(limit=10))


async def test_an_order_needs_a_reason_and_a_known_verdict(world: PostgresWorld, operator: Tool) -> None:
    saga = await parked(world)
    assert 2 == (await operator("replay", saga)).code
    assert 1 == (await operator("replay", saga, "--reason", " ")).code
    assert 2 == (await operator("resolve", saga, "--as", "perhaps", "--reason", "x")).code
    assert [] == await world.store.open_orders(limit=10)
