"""RabbitMQ blocks publishers while it is short of memory or disk: work waits for it, and is not repeated."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts.bundle import decode
from contracts.messages import Reply
from contracts.names import REPLIES
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
SLOW = 1.5
"""Seconds of a model call, long enough for an alarm to be raised meanwhile."""
FAILURES = 'leadsaga_publish_failures_total{part="generate_leads"}'
TIMES = 3
"""So often each answer is tried in vain."""
COPIES = 3
"""Of one answer, at most: the blocked one, the one after it, and one for a command that was sent again."""


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
    failed = await system.metric("steps", FAILURES)
    async with overhearing(breakable) as heard:
        await system.upstream.ask(*requests)
        await breakable.rabbitmq.control(*resource, short)
        await breakable.until_ready("steps", be=False)
        await system.until_metric("steps", FAILURES, failed + TIMES * len(requests))
        await breakable.rabbitmq.control(*resource, enough)

        await breakable.works_again(tenant)
        await breakable.all_is_well(requests)
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
