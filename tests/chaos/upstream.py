"""An upstream service that outlives its broker: publishes until confirmed, hears until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from contracts.names import Names
from tests.kit.history.records import HeardEvent
from tests.kit.history.upstream import heard_event

QUEUE = "chaos-outcomes"
PREFETCH = 500
AGAIN_SECONDS = 0.3
CONFIRM_SECONDS = 10.0
AWAY = (AMQPError, OSError, TimeoutError, RuntimeError)
"""What a broker that is being killed does to its clients; RuntimeError: of a channel that was just closed."""


@dataclass(frozen=True, slots=True)
class Message:
    routing_key: str
    body: bytes


@dataclass(slots=True)
class Upstream:
    """`hears` is called with each event the first time that it is heard."""

    amqp_url: Callable[[], str]
    names: Names
    hears: Callable[[HeardEvent], None]
    heard: dict[UUID, HeardEvent] = field(default_factory=dict)
    deliveries: int = 0
    """Of events, repetitions included."""
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    _exchange: Any = None

    async def publish(self, messages: Sequence[Message]) -> None:
        """The broker has all of them when this returns, perhaps some twice."""
        left = list(messages)
        while left:
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    exchange = await self._to_publish()
                    results = await asyncio.gather(
                        *(self._send(exchange, message) for message in left), return_exceptions=True
                    )
            except AWAY:
                results = [OSError()] * len(left)
            left = [
                message
                for message, result in zip(left, results, strict=True)
                if isinstance(result, Exception)
            ]
            if left:
                self._exchange = None
                await asyncio.sleep(AGAIN_SECONDS)

    async def _to_publish(self) -> Any:
        if self._exchange is None:
            connection = await aio_pika.connect(self.amqp_url(), timeout=CONFIRM_SECONDS)
            channel = await connection.channel(on_return_raises=True)
            self._exchange = await channel.get_exchange(self.names.requests_exchange, ensure=False)
        return self._exchange

    async def _send(self, exchange: Any, message: Message) -> None:
        body = aio_pika.Message(message.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await exchange.publish(body, routing_key=message.routing_key, mandatory=True)

    async def listen(self) -> None:
        """For ever, across any number of lost connections."""
        while True:
            with suppress(*AWAY):
                await self._listen_once()
            self.listening.clear()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen_once(self) -> None:
        connection = await aio_pika.connect(self.amqp_url(), timeout=CONFIRM_SECONDS)
        async with connection, connection.channel() as channel:
            await channel.set_qos(prefetch_count=PREFETCH)
            await channel.declare_exchange(
                self.names.events_exchange, aio_pika.ExchangeType.TOPIC, durable=True
            )
            queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            await queue.bind(self.names.events_exchange, routing_key="#")
            await queue.consume(self._hear)
            self.listening.set()
            lost = asyncio.Event()
            connection.close_callbacks.add(lambda *_: lost.set())
            channel.close_callbacks.add(lambda *_: lost.set())
            await lost.wait()

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        event = heard_event(message.body)
        self.deliveries += 1
        if event.event_id not in self.heard:
            self.heard[event.event_id] = event
            self.hears(event)
        await message.ack()


@asynccontextmanager
async def upstream(
    amqp_url: Callable[[], str], names: Names, hears: Callable[[HeardEvent], None]
) -> AsyncIterator[Upstream]:
    """Its queue is bound before anything is published, so that nothing is missed."""
    here = Upstream(amqp_url, names, hears)
    ear = asyncio.create_task(here.listen())
    try:
        await here.listening.wait()
        yield here
    finally:
        ear.cancel()
        with suppress(asyncio.CancelledError):
            await ear
