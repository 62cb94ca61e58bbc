"""Whoever has lost a consumer is not ready. It gets it back, or ends, to be started again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from pamqp import commands, frame

from deploy.broker.definitions import all_steps
from deploy.local.services.rabbitmq import USER
from tests.kit.asking import lead_request
from tests.kit.breakable import Breakable
from tests.kit.broker import queue_names
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import until
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]

CHANNELS = range(2, 2 + sum(len(step.work()) + bool(step.hears) for step in all_steps()))
"""Numbers of all channels on which the steps consume."""
RIGHTS = ("set_permissions", USER)
"""To configure, to write and to read what is called so."""
EVERYTHING, NOTHING = ".*", "^$"
SLOW = 12.0
"""Seconds of a model call, so that a command is held when its channel is lost."""


async def test_channels_that_the_broker_closes_are_opened_again_and_what_they_held_is_done_again(
    breakable: Breakable, tenant: Tenant
) -> None:
    sandbox, request = breakable.system.sandbox, lead_request(tenant)
    await sandbox.fault("anthropic.messages", match=request.request_id, delay_seconds=SLOW, times=1)
    before = await sandbox.calls("anthropic.messages")

    async def called(times: int) -> None:
        async def so_often() -> bool:
            return len(await sandbox.calls("anthropic.messages")) >= len(before) + times

        await until(so_often, PATIENCE)

    await breakable.system.upstream.ask(request)
    await called(times=1)
    never_delivered = commands.Basic.Ack(delivery_tag=999_999)
    breakable.broker.inject(b"".join(frame.marshal(never_delivered, number) for number in CHANNELS))
    await called(times=2)

    await breakable.works_again(tenant)
    await breakable.all_is_well([request])


@pytest.mark.parametrize(
    ("queues", "loser"),
    [(["requests"], "orchestrator"), (["replies"], "orchestrator"), (["reserve_quota"], "steps")],
    ids=["requests", "replies", "reserve_quota"],
)
async def test_a_queue_that_is_deleted_is_declared_and_consumed_again(
    breakable: Breakable, tenant: Tenant, queues: Sequence[str], loser: str
) -> None:
    requests = await breakable.load(tenant)
    accepted = "SELECT count(*) = $2 FROM requests WHERE tenant_id = $1"
    await breakable.system.until_sql(accepted, tenant.tenant_id, len(requests))

    async with administering(breakable) as channel, asyncio.TaskGroup() as watching:
        # It may have its consumers back before somebody who looks afterwards sees that it had lost them.
        watching.create_task(breakable.until_ready(loser, be=False))
        for queue in queues:
            await channel.queue_delete(breakable.system.names.queue(queue))

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


async def test_a_broker_that_comes_back_empty_is_furnished_again(
    breakable: Breakable, tenant: Tenant
) -> None:
    names = breakable.system.names
    async with administering(breakable) as channel:
        for queue in queue_names():
            await channel.queue_delete(names.queue(queue))
            await channel.queue_delete(names.dead_queue(queue))
        for exchange in (names.commands_exchange, names.replies_exchange, names.dead_exchange):
            await channel.exchange_delete(exchange)
    await breakable.until_none_is_ready()

    await breakable.works_again(tenant)
    await breakable.all_is_well([])


async def test_a_process_whose_consumers_stay_lost_ends_to_be_started_again(
    breakable: Breakable, tenant: Tenant
) -> None:
    system, children = breakable.system, breakable.system.children
    await breakable.rabbitmq.control(*RIGHTS, EVERYTHING, EVERYTHING, NOTHING)
    breakable.broker.cut()  # who consumes already, may go on
    for name in system.processes:
        assert 1 == await children.running[name].result(PATIENCE)
        assert "consumers_lost" in system.said(name)
    await breakable.rabbitmq.control(*RIGHTS, EVERYTHING, EVERYTHING, EVERYTHING)
    for name in system.processes:
        children.restart(name)

    await breakable.works_again(tenant)
    await breakable.all_is_well([])


@asynccontextmanager
async def administering(breakable: Breakable) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(breakable.servers.amqp_url)
    async with connection, connection.channel() as channel:
        yield channel
