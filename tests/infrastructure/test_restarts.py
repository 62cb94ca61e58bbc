"""Two of everything, restarted one after the other under load: nobody upstream notices."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import pytest
import pytest_asyncio

from contracts.requests import LeadRequested
from tests.kit.asking import lead_request
from tests.kit.broker import queue_names
from tests.kit.mortal import Mortal, own_system, verdict
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import free_port
from tests.kit.system import RunningSystem, Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

TWINS = {
    "orchestrator-2": ["-m", "orchestrator", "run", "orchestrator"],
    "steps-2": ["-m", "steps", "--all"],
}
PAIRS = (("orchestrator", "steps-2"), ("orchestrator-2", "steps"))
"""Of each kind one is there while the other is restarted."""
ROUNDS = 25
"""A hundred restarts in all."""
IN_FLIGHT = 3
"""Requests that are under way at a time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def twins(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mortal]:
    settings = {"LEADSAGA_NOTICE_INTERVAL": "2"}
    async with own_system(
        admin_url, template, amqp_url, tmp_path_factory.mktemp("twins"), settings
    ) as mortal:
        system = mortal.system
        ports = {name: free_port() for name in TWINS}
        for name, arguments in TWINS.items():
            system.children.start(name, arguments, ports[name])
        system.ports = {**system.ports, **ports}
        await system.ready(*TWINS)
        yield mortal


async def test_a_hundred_restarts_under_load_give_nothing_up(twins: Mortal, amqp_url: str) -> None:
    system = twins.system
    tenant = await system.tenant(quota=100_000)

    async with closed_load(system, tenant) as asked:
        for _ in range(ROUNDS):
            for pair in PAIRS:
                await asyncio.gather(*(restart(system, name) for name in pair))

    outcomes = [await system.upstream.outcome(request) for request in asked]
    assert {"completed"} == {outcome.event for outcome in outcomes}
    assert len(asked) > ROUNDS
    assert [] == await verdict(twins)
    assert 0 == await system.sql.fetchval("SELECT count(*) FROM dead_letters")
    assert 0 == await waiting_dead(system, amqp_url)


async def restart(system: RunningSystem, name: str) -> None:
    child = system.children.running[name]
    await child.end(signal.SIGTERM, PATIENCE)
    assert 0 == await child.result(PATIENCE)
    await system.restart(name)


@asynccontextmanager
async def closed_load(system: RunningSystem, tenant: Tenant) -> AsyncIterator[list[LeadRequested]]:
    """As soon as one request is answered the next one is asked. Ends with those that are under way."""
    asked: list[LeadRequested] = []
    enough = asyncio.Event()

    async def go_on() -> None:
        while not enough.is_set():
            request = lead_request(tenant)
            asked.append(request)
            await system.upstream.ask(request)
            await system.upstream.outcome(request)

    async with asyncio.TaskGroup() as load:
        for _ in range(IN_FLIGHT):
            load.create_task(go_on())
        yield asked
        enough.set()


async def waiting_dead(system: RunningSystem, amqp_url: str) -> int:
    """Messages in the dead-letter queues."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        found = [
            await channel.declare_queue(system.names.dead_queue(queue), passive=True)
            for queue in queue_names()
            if not queue.endswith(".heard")
        ]
    return sum(queue.declaration_result.message_count or 0 for queue in found)
