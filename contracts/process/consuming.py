"""Consuming with FastStream: one delivery is one bundle, each of its items decoded on its own.

A handler that returns acknowledges; one that raises rejects, and the broker dead-letters the message; one
that is cancelled (channel lost, process stopping) leaves it to be delivered again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from faststream._internal.endpoint.subscriber.utils import MultiLock
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from faststream.rabbit.utils import RabbitClientProperties

from contracts.bundle import Malformed, alone, decode
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
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        broker.handling.add(task)
        task.add_done_callback(broker.handling.discard)
        await each.handler(cast(Delivery, delivery))
        crash.point(f"ack.{each.queue}", "before")

    handle.__annotations__ = {"delivery": each.payload, "return": None}
    handle.__name__ = each.queue.replace(".", "_")

    async def read(message: RabbitMessage) -> Delivery:
        return read_delivery(message, each.item_type)

    broker.subscriber(
        RabbitQueue(each.queue, queue_type=QueueType.QUORUM, declare=False),
        channel=Channel(prefetch_count=each.prefetch),
        no_reply=True,
        decoder=read,
        title=each.queue,
        description=each.description,
    )(handle)


def read_delivery(message: Any, item_type: Any) -> Delivery:
    raw = message.raw_message
    headers = raw.headers or {}
    return Delivery(
        items=decode(message.body, item_type) if item_type is not None else [],
        body=message.body,
        message_id=raw.message_id or "",
        routing_key=raw.routing_key or "",
        redelivered=bool(raw.redelivered),
        count=_count(headers.get("x-delivery-count")),
        headers=headers,
        user=raw.user_id or "",
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
