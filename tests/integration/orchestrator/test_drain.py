"""What died is moved into the dead letters without loss, on a real broker, whatever interrupts the drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from faststream.rabbit import RabbitBroker
from pydantic import SecretStr

from contracts.bundle import encode
from contracts.messages import Command
from contracts.names import REPLIES, REQUESTS, Names, event_key
from contracts.process.consuming import Delivery, Subscription, make_broker, subscribe
from contracts.process.publishing import Outgoing, publishing
from contracts.process.settings import BrokerSettings
from contracts.process.topology import (
    DELIVERY_LIMIT,
    declare_engine,
    declare_exchanges,
    declare_heard,
    declare_steps,
)
from orchestrator.bus.consume import Ears
from orchestrator.store.port import Letter
from tests.kit.engine import Engine, MemoryWorld, Time, commands, lead, make_engine, reply
from tests.kit.sandbox import until

pytestmark = pytest.mark.services

QUEUE = "reserve_quota"
HEARD = "notify_discord"


@dataclass
class Grave:
    """Queues of a test, whose orchestrator only listens."""

    engine: Engine
    names: Names
    settings: BrokerSettings
    channel: AbstractChannel
    brokers: list[RabbitBroker] = field(default_factory=list)

    @property
    def letters(self) -> list[Letter]:
        world = self.engine.world
        assert isinstance(world, MemoryWorld)
        return world.store.letters()

    async def until_buried(self, letters: int) -> list[Letter]:
        async def there() -> bool:
            return len(self.letters) >= letters

        await until(there, 20)
        return self.letters

    async def dies(self, queue: str, body: bytes, exchange: str = "", key: str | None = None) -> None:
        """Published, and rejected by its reader: the broker moves it to the dead letters."""
        source = await self.channel.get_queue(self.names.queue(queue), ensure=False)
        async with publishing(self.settings, name="test") as publisher:
            routing_key = key or self.names.queue(queue)
            await publisher.publish(
                [Outgoing(exchange=exchange, routing_key=routing_key, body=body)], name="test"
            )
        async with asyncio.timeout(10):
            while (message := await source.get(fail=False)) is None:
                await asyncio.sleep(0.02)
        await message.reject(requeue=False)

    @asynccontextmanager
    async def drained(self, *, losing: bool = False) -> AsyncIterator[None]:
        """`losing`: the channel of each dead-letter queue is lost once, between the commit and the ack."""

        async def publish(_: object) -> None: ...

        loop = self.engine.loop(publish)
        broker = make_broker(self.settings)
        self.brokers.append(broker)
        for each in Ears(loop, loop, self.names).subscriptions([QUEUE, HEARD]):
            subscribe(broker, self._losing(each) if losing else each)
        running = asyncio.create_task(loop.run())
        await broker.start()
        try:
            yield
        finally:
            await broker.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _losing(self, subscription: Subscription) -> Subscription:
        lost: list[bool] = []

        async def take(delivery: Delivery) -> None:
            await subscription.handler(delivery)
            if not lost:
                lost.append(True)
                await self._lose(subscription.queue)
                await asyncio.Event().wait()  # until the loss of the channel cancels the handler

        return Subscription(
            queue=subscription.queue,
            item_type=subscription.item_type,
            payload=subscription.payload,
            handler=take,
            prefetch=subscription.prefetch,
            description=subscription.description,
        )

    async def _lose(self, queue: str) -> None:
        """The broker closes a channel that acknowledges what it never was given."""
        readers: list[Any] = [each._queue_obj for each in self.brokers[-1].subscribers]
        (reader,) = (each for each in readers if each is not None and each.name == queue)
        underlay = await reader.channel.get_underlay_channel()
        await underlay.basic_ack(delivery_tag=999_999)


@pytest.fixture
async def grave(amqp_url: str, queue_prefix: str) -> AsyncIterator[Grave]:
    time = Time()
    world = MemoryWorld(time)
    await world.add_tenant("acme")
    settings = BrokerSettings(amqp_url=SecretStr(amqp_url), queue_prefix=queue_prefix)
    names = Names(queue_prefix)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await aio_pika.connect(amqp_url))
        channel = await stack.enter_async_context(connection.channel())
        await declare_exchanges(channel, names)
        await declare_engine(channel, names)
        await declare_steps(channel, names, [QUEUE, HEARD])
        await declare_heard(channel, names, HEARD, ["failed"])
        yield Grave(make_engine(world, time), names, settings, channel)


async def begun(grave: Grave, *numbers: int) -> list[Command]:
    report = await grave.engine.ask(*(lead(number) for number in numbers))
    return list(commands(report.outbox))


async def test_a_bundle_that_the_broker_gave_up_becomes_a_letter_for_each_command(grave: Grave) -> None:
    sent = await begun(grave, 1, 2, 3)
    await grave.dies(QUEUE, encode(sent))
    async with grave.drained():
        letters = await grave.until_buried(3)

    assert {each.saga_id: encode([each]) for each in sent} == {each.saga_id: each.message for each in letters}
    about = {(each.tenant_id, each.saga, each.step, each.direction, each.attempt) for each in letters}
    assert {("acme", "lead", QUEUE, "do", 1)} == about
    assert {(QUEUE, "BrokerGaveUp", "moot")} == {(each.queue, each.error, each.status) for each in letters}
    assert {"the broker gave the message up: its reader failed on it"} == {each.reason for each in letters}
    assert ["unwinding"] * 3 == [await grave.engine.status(each) for each in sent]


async def test_what_is_interrupted_between_row_and_ack_is_one_letter_and_told_once(grave: Grave) -> None:
    (sent,) = await begun(grave, 1)
    await grave.dies(QUEUE, encode([sent]))
    async with grave.drained(losing=True):
        await grave.until_buried(1)

        async def seen_again() -> bool:
            return grave.letters[0].times_seen == 2

        await until(seen_again, 20)

    (letter,) = grave.letters
    assert ("moot", sent.saga_id) == (letter.status, letter.saga_id)
    kinds = [entry.kind for entry in await grave.engine.world.history((sent.tenant_id, sent.saga_id))]
    assert 1 == kinds.count("failed")
    left = await grave.channel.declare_queue(grave.names.dead_queue(QUEUE), passive=True)
    assert 0 == left.declaration_result.message_count


async def test_whatever_died_in_whichever_queue_has_its_tenant_its_key_and_its_exact_bytes(
    grave: Grave,
) -> None:
    (sent,) = await begun(grave, 1)
    request = lead(2).model_dump_json().encode()
    answer = encode([reply(sent)])
    failed = event_key("acme", "failed")
    await grave.dies(REQUESTS, request, grave.names.requests_exchange, "acme.lead_requested")
    await grave.dies(REQUESTS, b"\x00 nonsense", grave.names.requests_exchange, "acme.lead_requested")
    await grave.dies(REPLIES, answer, grave.names.replies_exchange, REPLIES)
    await grave.dies(REPLIES, b"\x00 nonsense", grave.names.replies_exchange, REPLIES)
    await grave.dies(f"{HEARD}.heard", b"\x00 nonsense", grave.names.events_exchange, failed)
    await grave.dies(QUEUE, b"\x00 nonsense", grave.names.commands_exchange, QUEUE)
    async with grave.drained():
        letters = await grave.until_buried(6)

    told = {(each.queue, each.message): (each.tenant_id, each.saga_id, each.routing_key) for each in letters}
    assert told == {
        (REQUESTS, request): ("acme", None, "acme.lead_requested"),
        (REQUESTS, b"\x00 nonsense"): ("acme", None, "acme.lead_requested"),
        (REPLIES, answer): ("acme", sent.saga_id, REPLIES),
        (REPLIES, b"\x00 nonsense"): (None, None, REPLIES),
        (f"{HEARD}.heard", b"\x00 nonsense"): ("acme", None, failed),
        (QUEUE, b"\x00 nonsense"): (None, None, QUEUE),
    }
    assert {"open"} == {each.status for each in letters}


async def test_what_ends_its_reader_before_it_can_be_read_is_given_up_by_the_broker(grave: Grave) -> None:
    """It comes back until the limit of deliveries; then all its commands lie in the dead letters."""
    sent = await begun(grave, 1, 2)
    source = await grave.channel.get_queue(grave.names.queue(QUEUE), ensure=False)
    async with publishing(grave.settings, name="test") as publisher:
        message = Outgoing(exchange=grave.names.commands_exchange, routing_key=QUEUE, body=encode(sent))
        await publisher.publish([message], name="test")
    deliveries = 0
    async with asyncio.timeout(40):
        while deliveries <= DELIVERY_LIMIT:
            taken = await source.get(fail=False)
            if taken is not None:
                deliveries += 1
                await taken.reject(requeue=True)
    async with grave.drained():
        letters = await grave.until_buried(2)

    assert {each.saga_id for each in sent} == {each.saga_id for each in letters}
    reason = "its reader ended again and again before it could say what is wrong with it"
    assert {f"the broker gave the message up: {reason}"} == {each.reason for each in letters}
