"""The loop around the groups: what fails alone is buried, and what is not confirmed holds everything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from contracts.bundle import decode
from contracts.messages import Command, Reply
from contracts.names import Names
from contracts.process.publishing import NotPublished, Outgoing, Unconfirmed, Unroutable
from contracts.requests import Request
from orchestrator.bus import publish as publishing
from orchestrator.bus.publish import bundle_bounds, publisher_of
from orchestrator.run import loop as looping
from orchestrator.run.items import Answered, Asked, Died, Item, Misunderstood, Outbox, Woken
from orchestrator.run.letters import Death, bare, failed, letter_of
from orchestrator.run.loop import Loop
from orchestrator.sagas import REGISTERED
from orchestrator.store.port import Group, Incoming, Letter, Store
from tests.kit.commands import command
from tests.kit.engine import Engine, commands, lead, reply
from tests.kit.sandbox import until


class Told(list[Outbox]):
    """A publish that is confirmed at once."""

    async def __call__(self, outbox: Outbox) -> None:
        self.append(outbox)

    @property
    def commands(self) -> list[Command]:
        return [command for outbox in self for command in commands(outbox)]


class Failing:
    """A store that fails as ordered when a certain request is admitted."""

    def __init__(self, store: Store, request_id: str, *errors: Exception) -> None:
        self.store, self.request_id, self.errors = store, request_id, list(errors)
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with self.store.group() as group:
            yield _FailingGroup(group, self)


class _FailingGroup:
    def __init__(self, group: Group, order: Failing) -> None:
        self.group, self.order = group, order

    def __getattr__(self, name: str) -> Any:
        return getattr(self.group, name)

    async def admit(self, requests: Sequence[Incoming]) -> Any:
        if any(request.request_id == self.order.request_id for request in requests):
            self.order.tries += 1
            if self.order.errors:
                error = self.order.errors[0]
                if len(self.order.errors) > 1:
                    self.order.errors.pop(0)
                raise error
        return await self.group.admit(requests)


@asynccontextmanager
async def running(loop: Loop, *, loops: int = 1) -> AsyncIterator[Loop]:
    tasks = [asyncio.create_task(loop.run()) for _ in range(loops)]
    try:
        yield loop
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def handle(loop: Loop, *items: Item) -> None:
    async with asyncio.timeout(20):
        await loop.handle(items)


async def test_what_fails_alone_is_buried_while_its_neighbours_are_handled(engine: Engine) -> None:
    store = Failing(engine.world.store, "r-2", ValueError("not this one"))
    told = Told()
    async with running(engine.loop(told, store)) as loop:
        await handle(loop, Asked(lead(1)), Asked(lead(2)), Asked(lead(3)))

    assert ["r-1", "r-3"] == [command.request_id for command in told.commands]
    assert [("requests", "acme:lead_requested:r-2", "open")] == await engine.world.letters()


def test_what_fails_is_kept_as_a_message_that_can_be_published_again() -> None:
    raw = lead(1).model_dump_json(indent=1).encode()
    alone, shared = (failed(uuid4, Asked(lead(1), raw=each)) for each in (raw, b""))
    assert alone
    assert shared
    assert ("acme", "acme.lead_requested", raw) == (alone.tenant_id, alone.routing_key, alone.message)
    assert [lead(1)] == decode(shared.message, Request)
    answer = reply(command("acme", uuid4()))
    letter = failed(uuid4, Answered(answer))
    assert letter
    assert ("acme", answer.saga_id, "reserve_quota", 1) == (
        letter.tenant_id, letter.saga_id, letter.step, letter.attempt,
    )  # fmt: skip
    assert [answer] == decode(letter.message, Reply)
    assert None is failed(uuid4, Woken(("acme", uuid4())))


async def test_what_cannot_even_be_buried_whole_is_buried_bare_and_ends_no_loop(engine: Engine) -> None:
    command = (await engine.begin(lead(1))).model_copy(update={"attempt": 10**12})
    letter = Letter(
        dead_letter_id=uuid4(),
        queue="reserve_quota",
        message_id="m-1",
        error="Poison",
        reason="it kills its process",
        message=b"{}",
        tenant_id=command.tenant_id,
        saga_id=command.saga_id,
        attempt=command.attempt,
    )
    told = Told()
    async with running(engine.loop(told)) as loop:
        await handle(loop, Died(letter, command), Asked(lead(2)))

    assert ["r-2"] == [command.request_id for command in told.commands]
    assert [("reserve_quota", "m-1")] == [each[:2] for each in await engine.world.letters()]
    bare_ = bare(letter)
    assert ("acme", None, None) == (bare_.tenant_id, bare_.saga_id, bare_.attempt)


async def test_everything_waits_in_one_group_with_what_came_meanwhile(engine: Engine) -> None:
    told = Told()
    loop = engine.loop(told)
    waiting = [asyncio.create_task(loop.handle([Asked(lead(number))])) for number in range(5)]
    await until(_holds(lambda: loop.inbox.qsize() == 5))
    async with running(loop), asyncio.timeout(20):
        await asyncio.gather(*waiting)
    assert [5] == [len(commands(outbox)) for outbox in told]


async def test_what_was_broken_off_before_it_was_taken_is_left_to_its_next_delivery(engine: Engine) -> None:
    """Channels may be lost again and again while the database is away: nothing of that piles up here."""
    loop = engine.loop(told := Told())
    lost = [asyncio.create_task(loop.handle([Asked(lead(number))])) for number in range(5)]
    await until(_holds(lambda: loop.inbox.qsize() == 5))
    for each in lost:
        each.cancel()
    await asyncio.gather(*lost, return_exceptions=True)
    async with running(loop):
        await handle(loop, Asked(lead(7)))
    assert ["r-7"] == [command.request_id for command in told.commands]


async def test_a_group_of_large_messages_is_a_small_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looping, "MOST_BYTES", 10)
    loop = engine.loop(told := Told())
    death = Death(queue="requests", routing_key=None, error="Malformed", reason="not JSON")
    letters = [letter_of(uuid4, death, f"{number:06}".encode()) for number in range(5)]
    waiting = [asyncio.create_task(loop.handle([Misunderstood(each)])) for each in letters]
    await until(_holds(lambda: loop.inbox.qsize() == 5))
    async with running(loop), asyncio.timeout(20):
        await asyncio.gather(*waiting)
    assert (3, 5) == (len(told), len(await engine.world.letters()))


async def test_a_database_that_is_away_is_waited_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "PAUSE", 0)
    store = Failing(engine.world.store, "r-1", *[ConnectionResetError("away")] * 9, OSError("away"))
    told = Told()
    async with running(engine.loop(told, store)) as loop:
        handled = asyncio.create_task(handle(loop, Asked(lead(1))))
        await until(_holds(lambda: store.tries >= 10))
        assert not handled.done()
        store.errors.clear()
        await handled

    assert ["r-1"] == [command.request_id for command in told.commands]
    assert [] == await engine.world.letters()


async def test_a_saga_that_is_woken_is_not_queued_a_second_time(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    key = (command.tenant_id, command.saga_id)
    loop = engine.loop(Told())
    first = asyncio.create_task(loop.wake([key]))
    await until(_holds(lambda: loop.inbox.qsize() == 1))

    await loop.wake([key])

    assert 1 == loop.inbox.qsize()
    async with running(loop):
        await first
    assert set() == loop.woken


class Broker:
    """Fails every publish while it is down."""

    def __init__(self, *errors: type[NotPublished]) -> None:
        self.errors = list(errors)
        self.down = True
        self.tries = 0
        self.has: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        self.tries += 1
        if self.down:
            raise self.errors[self.tries % len(self.errors)]("silence", messages)
        self.has += messages


async def test_nothing_is_acknowledged_or_taken_until_everything_is_confirmed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "FIRST_PAUSE", 0)
    broker, confirmed = Broker(Unconfirmed, Unroutable), list[Any]()
    publish = publisher_of(broker, Names(), bundle_bounds(REGISTERED), confirmed.extend)  # type: ignore[arg-type]  # a stand-in
    async with running(engine.loop(publish)) as loop:
        first = asyncio.create_task(handle(loop, Asked(lead(1))))
        await until(_holds(lambda: broker.tries >= 5))
        second = asyncio.create_task(handle(loop, Asked(lead(2))))
        tries = broker.tries
        await until(_holds(lambda: broker.tries >= tries + 5))
        assert (False, False, 1) == (first.done(), second.done(), loop.inbox.qsize())
        assert [] == confirmed

        broker.down = False
        await asyncio.gather(first, second)

    sent = [message for message in broker.has if message.routing_key == "reserve_quota"]
    assert ["r-1", "r-2"] == [
        command.request_id for message in sent for command in decode(message.body, Command)
    ]
    events = [message for message in broker.has if message.routing_key == "acme.accepted"]
    assert [message.headers["event-id"] for message in events] == list(map(str, confirmed))
    assert all(message.mandatory for message in sent)
    assert not any(message.mandatory for message in events)


async def test_a_timer_that_fails_alone_is_left_to_come_again(engine: Engine) -> None:
    command = await engine.begin(lead(1))

    class Broken(Failing):
        @asynccontextmanager
        async def group(self) -> AsyncIterator[Group]:
            raise ValueError("always")
            yield

    async with running(engine.loop(Told(), Broken(engine.world.store, ""))) as loop:
        await handle(loop, Woken((command.tenant_id, command.saga_id)))
    assert [] == await engine.world.letters()


def _holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return condition()

    return holds
