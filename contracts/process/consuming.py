"""Consuming: one delivery is one bundle, each of its items decoded on its own.

A handler that returns acknowledges; one that raises rejects, and the broker dead-letters the message; one
that is cancelled (channel lost, process stopping) leaves it to be delivered again.

FastStream keeps connections, channels and consumers, and documents them. Messages go past its middlewares,
straight from aio-pika to their handlers: those take longer than all the rest together (decision 0023).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, cast

from aio_pika import IncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.abc import AbstractChannel
from faststream._internal.endpoint.subscriber.utils import MultiLock
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from faststream.rabbit.utils import RabbitClientProperties

from contracts.bundle import Decoder, Malformed, alone, decoder_of
from contracts.process import crash
from contracts.process.amqp import answer_every_close, read_whatever_comes
from contracts.process.settings import BrokerSettings
from contracts.process.waiting import CONNECT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered. `count`: how often it was delivered before without an ack. `user`: who
    published it, as the broker has checked; empty if its sender did not say."""

    items: list[Any]
    body: bytes
    message_id: str
    routing_key: str
    redelivered: bool
    count: int
    headers: Mapping[str, Any]
    user: str = ""

    @property
    def malformed(self) -> list[Malformed]:
        return [item for item in self.items if isinstance(item, Malformed)]

    def exact(self, raw: bytes) -> bytes:
        """The message as it came, byte for byte; of one that carried several items, one that carries `raw`,
        the JSON of an item, alone."""
        return self.body if len(self.items) <= 1 else alone(raw)

    @property
    def sound(self) -> list[Any]:
        return [item for item in self.items if not isinstance(item, Malformed)]


CANCEL_SECONDS = 1.0

Handler = Callable[[Delivery], Awaitable[None]]


class Broker(RabbitBroker):
    """Stopping it leaves what its handlers have unacknowledged: `drain` comes first."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.handling: set[asyncio.Task[Any]] = set()
        """Handlers at work. Stopping does not cancel them while the broker does not answer."""


def make_broker(settings: BrokerSettings) -> Broker:
    read_whatever_comes()
    answer_every_close()
    return Broker(
        settings.amqp_url.get_secret_value(),
        # The decoder below hands over a Delivery; annotations only feed the AsyncAPI document.
        apply_types=False,
        logger=None,
        graceful_timeout=None,
        timeout=CONNECT_SECONDS,
        reconnect_interval=1.0,
        client_properties=RabbitClientProperties(heartbeat=settings.heartbeat),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who handles the messages of an existing queue."""

    queue: str
    item_type: Any
    """What a message carries; None when its handler decodes it."""
    payload: Any
    """The type that documents the message."""
    handler: Handler
    prefetch: int
    description: str


def subscribe(broker: Broker, each: Subscription) -> None:
    async def handle(delivery: Any) -> None:
        raise NotImplementedError  # it is only documented: messages go to `take`

    handle.__annotations__ = {"delivery": each.payload, "return": None}
    handle.__name__ = each.queue.replace(".", "_")
    subscriber = broker.subscriber(
        RabbitQueue(each.queue, queue_type=QueueType.QUORUM, declare=False),
        channel=Channel(prefetch_count=each.prefetch),
        no_reply=True,
        title=each.queue,
        description=each.description,
    )
    subscriber(handle)
    decode = None if each.item_type is None else decoder_of(each.item_type)
    cast(Any, subscriber).consume = _Taking(each, broker, subscriber, decode).take


@dataclass(slots=True)
class _Taking:
    """Takes what one subscription is delivered."""

    each: Subscription
    broker: Broker
    subscriber: Any
    decode: Decoder | None
    acks: "_Acks | None" = None

    async def take(self, message: IncomingMessage) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.broker.handling.add(task)
        try:
            with self.subscriber.lock, suppress(*LOST):
                await self._handle(message, self._acks_on(message.channel))
        finally:
            self.broker.handling.discard(task)

    def _acks_on(self, channel: AbstractChannel) -> "_Acks":
        if self.acks is None or self.acks.channel is not channel:
            self.acks = _Acks(channel)
        return self.acks

    async def _handle(self, message: IncomingMessage, acks: "_Acks") -> None:
        tag = message.delivery_tag or 0
        acks.handled[tag] = False
        try:
            await self.each.handler(_read(message, self.decode))
            crash.point(f"ack.{self.each.queue}", "before")
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it lies with the dead letters then
            await acks.reject(tag)
        else:
            await acks.give(tag)


LOST = (AMQPError, OSError, ChannelInvalidStateError)
"""The channel is gone, and what came on it comes again."""


@dataclass(slots=True)
class _Acks:
    """Of one channel. What was handled together is acknowledged together, by one frame for all up to the
    first message that is still being handled."""

    channel: AbstractChannel
    handled: dict[int, bool] = field(default_factory=dict)
    """By delivery tag, in the order of delivery: what was delivered and not yet acknowledged."""

    async def give(self, tag: int) -> None:
        self.handled[tag] = True
        await asyncio.sleep(0)  # the others of its group say so first
        if tag not in self.handled:
            return  # one of them has acknowledged it
        done = [each for each, handled in self.handled.items() if handled]
        first = list(takewhile(self.handled.__getitem__, self.handled))
        for each in done:
            del self.handled[each]
        if first:
            await self.channel.basic_ack(first[-1], multiple=len(first) > 1, wait=False)
        for each in done[len(first) :]:
            await self.channel.basic_ack(each, wait=False)

    async def reject(self, tag: int) -> None:
        await self.channel.basic_reject(tag, requeue=False, wait=False)
        del self.handled[tag]  # and not before, or an ack for those behind it could overtake this


def read_delivery(message: Any, item_type: Any) -> Delivery:
    """Of aio-pika's message."""
    return _read(message, None if item_type is None else decoder_of(item_type))


def _read(message: Any, decode: Decoder | None) -> Delivery:
    headers = message.headers or {}
    return Delivery(
        items=[] if decode is None else decode(message.body),
        body=message.body,
        message_id=message.message_id or "",
        routing_key=message.routing_key or "",
        redelivered=bool(message.redelivered),
        count=_count(headers.get("x-delivery-count")),
        headers=headers,
        user=message.user_id or "",
    )


def _count(header: Any) -> int:
    """On a first delivery the header may be the publisher's own, and anything at all."""
    return header if type(header) is int else 0


def consuming(broker: RabbitBroker) -> bool:
    """Whether every subscriber has a live consumer just now. A dead channel is not ready, nor is a consumer
    that the broker has cancelled, as it does when a queue is deleted."""
    return bool(broker.subscribers) and all(_alive(subscriber) for subscriber in broker.subscribers)


def _alive(subscriber: Any) -> bool:
    # FastStream's own ping looks at the connection only.
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag  # noqa: SLF001
    if not subscriber.running or queue is None or queue.channel.is_closed:
        return False
    return tag in queue.channel._channel.channel.consumers  # noqa: SLF001


async def drain(broker: RabbitBroker, seconds: float) -> None:
    """The broker sends nothing more, and what it has sent is still handled, as far as the time allows.
    FastStream alone would ignore what comes while its handlers finish: it would wait here for nothing, and
    count as delivered in vain."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(_cancel, broker.subscribers), return_exceptions=True)
            await asyncio.gather(*(_idle(subscriber, seconds) for subscriber in broker.subscribers))


async def _cancel(subscriber: Any) -> None:
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag  # noqa: SLF001
    subscriber._consumer_tag = None  # noqa: SLF001 - or it would cancel it once more
    if queue is not None and tag is not None:
        async with asyncio.timeout(CANCEL_SECONDS):
            await queue.cancel(tag)


async def _idle(subscriber: Any, seconds: float) -> None:
    """Returns when everything that was taken is acknowledged, or the time is over."""
    if isinstance(subscriber.lock, MultiLock):
        await subscriber.lock.wait_release(seconds)
