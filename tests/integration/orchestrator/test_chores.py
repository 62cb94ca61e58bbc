"""What has to be looked at from time to time: timers, turns, orders, events left behind, gauges."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from contracts.outcomes import Rejected
from contracts.process.postgres import TROUBLE
from orchestrator.run.chores import Chores
from orchestrator.run.items import Outbox
from orchestrator.store.port import Gauges, Letter, Order
from tests.kit.engine import Engine, commands, lead, make_engine, only
from tests.kit.sandbox import until


class Heard(list[Outbox]):
    async def __call__(self, outbox: Outbox) -> None:
        self.append(outbox)

    def steps(self) -> list[tuple[str, str]]:
        """(request, step) of all commands."""
        return [(command.request_id, command.step) for outbox in self for command in commands(outbox)]


async def nothing_dies(letter: Letter) -> None:
    raise AssertionError(letter)


@asynccontextmanager
async def working(engine: Engine, heard: Heard, gauges: list[Gauges]) -> AsyncIterator[Chores]:
    loop = engine.loop(heard)
    chores = Chores(loop, 0.02, gauges.append, republish=nothing_dies)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(chores.run())]
    try:
        yield chores
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_command_that_nobody_answers_is_sent_again(engine: Engine) -> None:
    await engine.begin(lead(1))
    heard = Heard()
    engine.time.passes(600)
    async with working(engine, heard, []):
        await until(_said(heard, "r-1"))
    assert [("r-1", "reserve_quota")] == heard.steps()


async def test_a_command_that_is_not_due_is_left_alone(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    heard, gauges = Heard(), list[Gauges]()
    async with working(engine, heard, gauges):
        await until(_anything(gauges))
    assert [] == heard.steps()
    assert "running" == await engine.status(command)


async def test_sagas_that_waited_get_their_turn(engine: Engine) -> None:
    small = make_engine(engine.world, engine.time, limit=1)
    running = only(await small.ask(lead(1), lead(2)))
    await small.answer(running, Rejected(reason="over quota"))
    heard = Heard()
    async with working(small, heard, []):
        await until(_said(heard, "r-2"))
    assert [("r-2", "reserve_quota")] == heard.steps()


async def test_an_order_is_carried_out_and_says_how_it_went(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    order = Order(
        order_id=uuid4(),
        key=(command.tenant_id, command.saga_id),
        kind="cancel",
        verdict=None,
        actor="ann",
        reason="asked by phone",
    )
    await engine.world.add_order(order)
    async with working(engine, Heard(), []):

        async def taken() -> bool:
            return await engine.world.order_result(order.order_id) is not None

        await until(taken)
    assert "done" == await engine.world.order_result(order.order_id)
    assert "unwinding" == await engine.status(command)


async def test_events_that_their_writer_did_not_live_to_publish_are_published(engine: Engine) -> None:
    left = (await engine.ask(lead(1))).outbox.events
    engine.time.passes(60)
    heard = Heard()
    async with working(engine, heard, []):

        async def published() -> bool:
            return any(outbox.events for outbox in heard)

        await until(published)
    assert left == next(outbox.events for outbox in heard if outbox.events)


async def test_events_that_the_broker_has_are_forgotten(engine: Engine) -> None:
    events = (await engine.ask(lead(1))).outbox.events
    async with working(engine, Heard(), []) as chores:
        chores.confirmed.extend(event.event_id for event in events)

        async def forgotten() -> bool:
            return (await engine.world.store.gauges()).events_waiting == 0

        await until(forgotten)
    assert [] == chores.confirmed


async def test_gauges_are_measured(engine: Engine) -> None:
    await engine.begin(lead(1))
    gauges = list[Gauges]()
    async with working(engine, Heard(), gauges):
        await until(_anything(gauges))
    assert (1, 0) == (gauges[0].in_flight, gauges[0].waiting)


async def test_a_chore_that_finds_the_database_away_is_done_later(engine: Engine) -> None:
    failures = [TROUBLE[0]("away"), TROUBLE[0]("away")]

    def measure(gauges: Gauges) -> None:
        if failures:
            raise failures.pop()
        measured.append(gauges)

    measured = list[Gauges]()
    chores = Chores(engine.loop(Heard()), 0.02, measure, republish=nothing_dies)

    async def measures() -> None:
        await chores._gauges()

    task = asyncio.create_task(chores._repeat(measures, 0))
    await until(_anything(measured))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [] == failures


def _anything(found: list[Gauges]) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return bool(found)

    return there


def _said(heard: Heard, request_id: str) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return any(request_id == name for name, _ in heard.steps())

    return there
