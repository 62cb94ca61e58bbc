"""An upstream service: publishes requests and hears outcomes, over AMQP and nothing else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from pydantic import TypeAdapter

from contracts.events import Event
from contracts.names import Names, request_key
from contracts.process.publishing import Outgoing, publishing
from contracts.process.settings import BrokerSettings
from contracts.requests import LeadRequested, RefundRequested

EVENT: TypeAdapter[Event] = TypeAdapter(Event)

FINAL = frozenset({"completed", "failed", "refused", "refunded"})


@dataclass(slots=True)
class Upstream:
    settings: BrokerSettings
    heard: dict[UUID, Event] = field(default_factory=dict)
    """By event id: what is delivered again is recognised."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, requests: Sequence[LeadRequested | RefundRequested]) -> None:
        names = Names(self.settings.queue_prefix)
        async with publishing(self.settings, name="upstream") as publisher:
            await publisher.publish(
                [
                    Outgoing(
                        exchange=names.requests_exchange,
                        routing_key=request_key(request.tenant_id, request.type),
                        body=request.model_dump_json().encode(),
                    )
                    for request in requests
                ],
                name="requests",
            )

    async def hear(self, message: AbstractIncomingMessage) -> None:
        async with message.process():
            event = EVENT.validate_json(message.body)
            self.heard[event.event_id] = event
            self.news.set()

    def outcome(self, request: LeadRequested | RefundRequested) -> Event | None:
        """The last word on a request so far: its final event, or that it is parked."""
        refund = request.refund_id if isinstance(request, RefundRequested) else None
        words = [
            event
            for event in self.heard.values()
            if (event.tenant_id, event.request_id, event.refund_id)
            == (request.tenant_id, request.request_id, refund)
        ]
        final = [event for event in words if event.event in FINAL]
        parked = [event for event in words if event.event == "parked"]
        return (final or parked or [None])[-1]

    def delivered(self) -> Counter[str]:
        """Leads that arrived, by tenant, less those given back."""
        count: Counter[str] = Counter()
        for event in self.heard.values():
            if event.event == "leads_ready":
                count[event.tenant_id] += len(event.leads)
            elif event.event == "refunded":
                count[event.tenant_id] -= event.leads
        return count


@asynccontextmanager
async def listening(settings: BrokerSettings) -> AsyncIterator[Upstream]:
    """Its queue is bound before anything is published, so that nothing is missed."""
    upstream = Upstream(settings)
    connection = await aio_pika.connect(settings.amqp_url.get_secret_value())
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(Names(settings.queue_prefix).events_exchange, routing_key="#")
        await queue.consume(upstream.hear)
        yield upstream
