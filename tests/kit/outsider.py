"""Whoever talks to the system over AMQP: an upstream service, or somebody who sends what nobody should."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import BaseModel, TypeAdapter, ValidationError

from contracts.bundle import encode
from contracts.events import Event, LeadsReady
from contracts.names import REPLIES, Names, request_key
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
PATIENCE = 40.0
"""Seconds until a test gives up waiting: far longer than anything takes on an idle machine."""

AnyRequest = LeadRequested | CancelRequested | RefundRequested | TenantRequested


@dataclass(slots=True)
class Outsider:
    channel: AbstractChannel
    names: Names
    heard: list[Event] = field(default_factory=list)
    """Every delivery in its order, repeated ones too."""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ask(self, *requests: AnyRequest) -> None:
        """Publishes requests as an upstream service does; the broker has them when this returns."""
        for request in requests:
            key = request_key(request.tenant_id, request.type)
            await self.send_raw(request.model_dump_json().encode(), key)

    async def send_raw(self, body: bytes, routing_key: str, message_id: str | None = None) -> None:
        """Any bytes to the requests exchange."""
        await self._publish(self.names.requests_exchange, routing_key, body, message_id)

    async def send_replies(self, *replies: BaseModel) -> None:
        await self.send_reply_bytes(encode(replies))

    async def send_reply_bytes(self, body: bytes) -> None:
        await self._publish(self.names.replies_exchange, REPLIES, body)

    async def send_command_bytes(self, queue: str, body: bytes) -> None:
        await self._publish(self.names.commands_exchange, queue, body)

    async def _publish(
        self, exchange: str, routing_key: str, body: bytes, message_id: str | None = None
    ) -> None:
        target = await self.channel.get_exchange(exchange, ensure=False)
        message = aio_pika.Message(
            body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, message_id=message_id
        )
        await target.publish(message, routing_key=routing_key, mandatory=True)

    def of(self, tenant_id: str, request_id: str, refund_id: str | None = None) -> list[Event]:
        """What was heard of one request, or of one refund of it."""
        wanted = (tenant_id, request_id, refund_id)
        return [
            event for event in self.heard if (event.tenant_id, event.request_id, event.refund_id) == wanted
        ]

    def leads_of(self, tenant_id: str, request_id: str) -> list[LeadsReady]:
        """The parts of a delivery, repeated ones left out."""
        parts = {
            event.event_id: event for event in self.of(tenant_id, request_id) if isinstance(event, LeadsReady)
        }
        return list(parts.values())

    async def wait_for(self, predicate: Callable[[Event], bool], *, times: int = 1) -> Event:
        """The event that makes the predicate true for the `times`th time, heard already or not."""

        def found() -> list[Event]:
            return [event for event in self.heard if predicate(event)]

        await self._until(lambda: len(found()) >= times)
        return found()[times - 1]

    async def outcome(self, request: LeadRequested | RefundRequested, *names: str, times: int = 1) -> Any:
        """The `times`th event of these names about a request; any that ends it when none is named."""
        wanted = names or ("completed", "failed", "refused", "refunded", "parked")
        refund_id = request.refund_id if isinstance(request, RefundRequested) else None
        key = (request.tenant_id, request.request_id, refund_id)
        return await self.wait_for(
            lambda event: (
                event.event in wanted and (event.tenant_id, event.request_id, event.refund_id) == key
            ),
            times=times,
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(condition)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        async with message.process(), self.news:
            with suppress(ValidationError):  # nobody has to make sense of nonsense
                self.heard.append(EVENT.validate_json(message.body))
            self.news.notify_all()


def names_of(events: Sequence[Event]) -> list[str]:
    return [event.event for event in events]


@asynccontextmanager
async def speaking(amqp_url: str, names: Names, *, lasting: bool = False) -> AsyncIterator[Outsider]:
    """Its queue is bound before anything is published, so that nothing is missed. `lasting`: not even while
    the broker is away, after which it goes on."""
    # No heartbeats: its loop stands still while tests of other loops run.
    once = partial(aio_pika.connect, heartbeat=0)
    connect = partial(aio_pika.connect_robust, reconnect_interval=0.2) if lasting else once
    connection = await connect(amqp_url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        await channel.declare_exchange(names.events_exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        outsider = Outsider(channel, names)
        name = f"{names.prefix}upstream" if lasting else None
        queue = await channel.declare_queue(name, durable=lasting, exclusive=not lasting)
        await queue.bind(names.events_exchange, routing_key="#")
        await queue.consume(outsider.hear)
        yield outsider
