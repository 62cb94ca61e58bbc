"""Consuming with FastStream: one delivery is one bundle, each of its items decoded on its own.

A handler that returns acknowledges; one that raises rejects, and the broker dead-letters the message; one
that is cancelled (channel lost, process stopping) leaves it to be delivered again.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from faststream.rabbit.utils import RabbitClientProperties

from contracts.bundle import Malformed, decode
from contracts.process.settings import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered. `count`: how often it was delivered before without an ack."""

    items: list[Any]
    body: bytes
    message_id: str
    routing_key: str
    redelivered: bool
    count: int
    headers: Mapping[str, Any]

    @property
    def malformed(self) -> list[Malformed]:
        return [item for item in self.items if isinstance(item, Malformed)]

    def exact(self, raw: bytes) -> bytes:
        """The message as it came, byte for byte, or `raw`, the item's own, of one that carried several."""
        return self.body if len(self.items) <= 1 else raw

    @property
    def sound(self) -> list[Any]:
        return [item for item in self.items if not isinstance(item, Malformed)]


Handler = Callable[[Delivery], Awaitable[None]]


def make_broker(settings: BrokerSettings, *, drain_seconds: float) -> RabbitBroker:
    """`drain_seconds`: how long handlers may finish after stop; then they are cancelled, unacknowledged."""
    return RabbitBroker(
        settings.amqp_url.get_secret_value(),
        # The decoder below hands over a Delivery; annotations only feed the AsyncAPI document.
        apply_types=False,
        logger=None,
        graceful_timeout=drain_seconds,
        reconnect_interval=1.0,
        client_properties=RabbitClientProperties(heartbeat=15),
    )


def subscribe(  # noqa: PLR0913 - the properties of one subscription
    broker: RabbitBroker,
    queue: str,
    item_type: Any,
    payload: Any,
    handler: Handler,
    *,
    prefetch: int,
    description: str,
) -> None:
    """Consumes an existing queue. `payload` is the type that documents the message."""

    async def handle(delivery: Any) -> None:
        await handler(cast(Delivery, delivery))

    handle.__annotations__ = {"delivery": payload, "return": None}
    handle.__name__ = queue.replace(".", "_")

    async def read(message: RabbitMessage) -> Delivery:
        return read_delivery(message, item_type)

    broker.subscriber(
        RabbitQueue(queue, queue_type=QueueType.QUORUM, declare=False),
        channel=Channel(prefetch_count=prefetch),
        no_reply=True,
        decoder=read,
        title=queue,
        description=description,
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
    )


def _count(header: Any) -> int:
    """On a first delivery the header may be the publisher's own, and anything at all."""
    return header if type(header) is int else 0


def consuming(broker: RabbitBroker) -> bool:
    """Whether every subscriber has a live consumer just now: a dead channel is not ready."""
    return bool(broker.subscribers) and all(_alive(subscriber) for subscriber in broker.subscribers)


def _alive(subscriber: Any) -> bool:
    queue = subscriber._queue_obj  # noqa: SLF001 - FastStream's own ping does not look at channels
    return bool(subscriber.running and queue is not None and not queue.channel.is_closed)
