"""What a broker promises its readers. A test module gives the suite its `world`, and all of this must hold
there: the simulated one may be no kinder than the real one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.messages import Command
from contracts.names import Names, event_key, heard_queue
from contracts.process.consuming import Delivery, Subscription
from contracts.process.publishing import Outgoing

DEADLINE = 15
QUEUE = "reserve_quota"
LISTENER = "notify_discord"
"""Hears of what failed."""


class World(Protocol):
    names: Names

    async def publish(self, message: Outgoing) -> None:
        """Returns when it is confirmed."""
        ...

    async def subscribe(self, subscription: Subscription) -> None: ...

    async def lose_channels(self) -> None:
        """Whoever subscribed last loses them, and subscribes again."""
        ...

    async def left(self) -> int:
        """All readers go away; how many commands lie in the queue then."""
        ...


@dataclass
class Reader:
    """Keeps what it was given; `then` is what it does with it."""

    then: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
    taken: list[Delivery] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def take(self, delivery: Delivery) -> None:
        self.taken.append(delivery)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.then()
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        else:
            self.ended.append("done")
        finally:
            self.at_once -= 1

    def of(self, queue: str, *, prefetch: int = 2) -> Subscription:
        return Subscription(
            queue=queue,
            item_type=None,
            payload=Command,
            handler=self.take,
            prefetch=prefetch,
            description="for the test",
        )

    async def has(self, ended: int, taken: int = 0) -> None:
        async with asyncio.timeout(DEADLINE):
            while len(self.ended) < ended or len(self.taken) < taken:
                await asyncio.sleep(0.02)


def command(world: World, body: bytes) -> Outgoing:
    return Outgoing(exchange=world.names.commands_exchange, routing_key=QUEUE, body=body)


def event(world: World, name: str) -> Outgoing:
    key = event_key("acme", name)
    headers: dict[str, str | int] = {"event-id": "1"}
    return Outgoing(
        exchange=world.names.events_exchange,
        routing_key=key,
        body=name.encode(),
        mandatory=False,
        headers=headers,
    )


class BrokerSuite:
    async def test_what_was_handled_does_not_come_again(self, world: World) -> None:
        reader = Reader()
        await world.subscribe(reader.of(world.names.queue(QUEUE)))
        await world.publish(command(world, b"1"))
        await world.publish(command(world, b"2"))
        await reader.has(ended=2)

        assert 0 == await world.left()
        assert [(b"1", False, 0), (b"2", False, 0)] == sorted(_seen(each) for each in reader.taken)

    async def test_what_was_not_acknowledged_comes_again_and_says_how_often_it_came(
        self, world: World
    ) -> None:
        gate = asyncio.Event()
        reader = Reader(gate.wait)
        await world.subscribe(reader.of(world.names.queue(QUEUE)))
        await world.publish(command(world, b"1"))
        for times in (1, 2):
            await reader.has(ended=times - 1, taken=times)
            await world.lose_channels()
        await reader.has(ended=2, taken=3)
        gate.set()
        await reader.has(ended=3)

        assert [(b"1", False, 0), (b"1", True, 1), (b"1", True, 2)] == [_seen(each) for each in reader.taken]
        assert ["CancelledError", "CancelledError", "done"] == reader.ended

    async def test_what_its_reader_fails_on_lies_with_the_dead_letters_and_says_where_it_died(
        self, world: World
    ) -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        reader, grave = Reader(fail), Reader()
        await world.subscribe(grave.of(world.names.dead_queue(QUEUE)))
        await world.subscribe(reader.of(world.names.queue(QUEUE)))
        await world.publish(command(world, b"1"))
        await grave.has(ended=1)

        [letter] = grave.taken
        [death] = letter.headers["x-death"]
        assert (b"1", 1) == (letter.body, len(reader.taken))
        assert ("rejected", [QUEUE]) == (death["reason"], death["routing-keys"])
        assert world.names.queue(QUEUE) == death["queue"]

    async def test_no_more_is_delivered_at_a_time_than_a_reader_wants(self, world: World) -> None:
        gate = asyncio.Event()
        reader = Reader(gate.wait)
        await world.subscribe(reader.of(world.names.queue(QUEUE), prefetch=2))
        for number in range(5):
            await world.publish(command(world, b"%d" % number))
        await reader.has(ended=0, taken=2)
        gate.set()
        await reader.has(ended=5)

        assert 2 == reader.most_at_once

    async def test_an_event_reaches_who_wants_to_hear_it_and_else_nobody(self, world: World) -> None:
        reader = Reader()
        await world.subscribe(reader.of(world.names.queue(heard_queue(LISTENER))))
        await world.publish(event(world, "completed"))
        await world.publish(event(world, "failed"))
        await reader.has(ended=1)

        assert [b"failed"] == [each.body for each in reader.taken]


def _seen(delivery: Delivery) -> tuple[Any, ...]:
    return delivery.body, delivery.redelivered, delivery.count
