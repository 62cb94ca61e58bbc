"""What cannot be worked on waits in the broker, not in our memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from contracts.bundle import encode
from contracts.names import REQUESTS
from steps.runtime.turns import AHEAD as IN_LINE
from tests.infrastructure.conftest import AHEAD, BUNDLES_AHEAD, SIDE_BY_SIDE
from tests.kit.asking import delivered, lead_request
from tests.kit.breakable import Breakable
from tests.kit.commands import command
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import until
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]


SENT = 3 * AHEAD
STEPS = {"reserve_quota": BUNDLES_AHEAD, "generate_leads": IN_LINE * SIDE_BY_SIDE}
"""What a process may take of a step that only touches Postgres, and of one that calls a vendor."""


@dataclass(frozen=True, slots=True)
class Queue:
    channel: AbstractChannel
    name: str

    async def waiting(self) -> int:
        """A queue counts only messages that nobody holds."""
        found = await self.channel.declare_queue(self.name, passive=True)
        return found.declaration_result.message_count or 0

    async def until_waiting(self, messages: int) -> None:
        async def so_many() -> bool:
            return await self.waiting() == messages

        await until(so_many, PATIENCE)


@asynccontextmanager
async def queues(breakable: Breakable, *names: str) -> AsyncIterator[list[Queue]]:
    connection = await aio_pika.connect(breakable.servers.amqp_url)
    async with connection, connection.channel() as channel:
        yield [Queue(channel, breakable.system.names.queue(name)) for name in names]


async def test_without_its_database_the_orchestrator_takes_no_more_than_it_may(
    breakable: Breakable, tenant: Tenant
) -> None:
    requests = [lead_request(tenant) for _ in range(SENT)]
    async with queues(breakable, REQUESTS) as (queue,):
        breakable.database.refuse()
        await breakable.until_none_is_ready()
        await breakable.system.upstream.ask(*requests)
        await queue.until_waiting(SENT - AHEAD)
        await breakable.until_none_is_ready()
        assert SENT - AHEAD == await queue.waiting()
        await breakable.database.heal()

        await breakable.works_again(tenant)
        await breakable.all_is_well(requests)


async def test_without_their_database_the_steps_take_no_more_than_they_may(
    breakable: Breakable, tenant: Tenant
) -> None:
    system, request = breakable.system, lead_request(tenant)
    await delivered(system, request)
    saga_id = await system.saga_of(tenant, request.request_id)
    async with queues(breakable, *STEPS) as found:
        breakable.database.refuse()
        await breakable.until_none_is_ready()
        for step, ahead in STEPS.items():
            answered_before = encode([command(tenant.tenant_id, saga_id, step)])
            for _ in range(ahead + SENT):
                await system.upstream.send_command_bytes(step, answered_before)
        await asyncio.gather(*(queue.until_waiting(SENT) for queue in found))
        await breakable.until_none_is_ready()
        assert [SENT] * len(STEPS) == [await queue.waiting() for queue in found]
        await breakable.database.heal()

        await breakable.works_again(tenant)
        await asyncio.gather(*(queue.until_waiting(0) for queue in found))
        await breakable.all_is_well([request])
