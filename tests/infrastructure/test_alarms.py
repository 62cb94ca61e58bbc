"""RabbitMQ blocks publishers while it is short of memory or disk: work waits for it, and is not repeated."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from contracts.bundle import decode
from contracts.messages import Reply
from contracts.names import REPLIES, REQUESTS, request_key
from contracts.requests import LeadRequested
from tests.infrastructure.conftest import AHEAD
from tests.kit.asking import lead_request
from tests.kit.breakable import Breakable
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]

MEMORY = ("set_vm_memory_high_watermark", "absolute")
DISK = ("set_disk_free_limit",)
SLOW = 6.0
"""Seconds of a model call, long enough for `rabbitmqctl` to raise an alarm meanwhile."""
FAILURES = 'leadsaga_publish_failures_total{part="generate_leads"}'
TIMES = 3
"""So often each answer is tried in vain."""
COPIES = 3
"""Of one answer, at most: the blocked one, the one after it, and one for a command that was sent again."""
TOO_MANY = 2
"""Requests beyond those that the orchestrator may take before the first of them is acknowledged."""


@pytest.mark.parametrize(
    ("resource", "short", "enough"),
    [(MEMORY, "1MB", "1GB"), (DISK, "5000GB", "50MB")],
    ids=["memory", "disk"],
)
async def test_publishers_wait_while_the_broker_is_short_of_something(
    breakable: Breakable, tenant: Tenant, resource: tuple[str, ...], short: str, enough: str
) -> None:
    system = breakable.system
    requests = [lead_request(tenant) for _ in range(4)]
    for each in requests:
        await system.sandbox.fault("anthropic.messages", match=each.request_id, delay_seconds=SLOW, times=1)
    late = [lead_request(tenant) for _ in range(AHEAD + TOO_MANY)]
    failed = await system.metric("steps", FAILURES)
    async with overhearing(breakable) as heard, waiting_room(breakable, late) as room:
        await system.upstream.ask(*requests)
        await breakable.rabbitmq.control(*resource, short)
        await breakable.until_ready("steps", be=False)
        await room.let_in()
        await system.until_metric("steps", FAILURES, failed + TIMES * len(requests))
        assert TOO_MANY == await room.waiting()
        await breakable.rabbitmq.control(*resource, enough)

        await breakable.works_again(tenant)
        await breakable.all_is_well([*requests, *late])
        assert COPIES >= max(heard.values()), heard


@asynccontextmanager
async def overhearing(breakable: Breakable) -> AsyncIterator[Counter[tuple[UUID, str, int]]]:
    """How often each answer came: saga, step, attempt."""
    heard: Counter[tuple[UUID, str, int]] = Counter()

    async def hear(message: AbstractIncomingMessage) -> None:
        async with message.process():
            heard.update((reply.saga_id, reply.step, reply.attempt) for reply in decode(message.body, Reply))

    connection = await aio_pika.connect(breakable.servers.amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(breakable.system.names.replies_exchange, routing_key=REPLIES)
        await queue.consume(hear)
        yield heard


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """Requests that the broker itself puts into the queue of requests: no alarm keeps it from that."""

    breakable: Breakable
    channel: AbstractChannel
    queue: AbstractQueue

    async def let_in(self) -> None:
        while message := await self.queue.get(fail=False):
            await message.reject(requeue=False)

    async def waiting(self) -> int:
        """Requests that nobody has taken."""
        name = self.breakable.system.names.queue(REQUESTS)
        found = await self.channel.declare_queue(name, passive=True)
        return found.declaration_result.message_count or 0


@asynccontextmanager
async def waiting_room(breakable: Breakable, requests: Sequence[LeadRequested]) -> AsyncIterator[WaitingRoom]:
    (key,) = {request_key(each.tenant_id, each.type) for each in requests}
    leads_to = {
        "x-dead-letter-exchange": breakable.system.names.requests_exchange,
        "x-dead-letter-routing-key": key,
    }
    connection = await aio_pika.connect(breakable.servers.amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True, arguments=leads_to)
        for each in requests:
            message = aio_pika.Message(each.model_dump_json().encode())
            await channel.default_exchange.publish(message, routing_key=queue.name)
        yield WaitingRoom(breakable, channel, queue)
