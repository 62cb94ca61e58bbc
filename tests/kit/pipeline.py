"""Orchestrator and steps wired as their processes wire them, in this one, without timers: nothing happens but
what was asked for. Whatever each side says to its servers is counted."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from contracts.names import Names
from contracts.process.consuming import Subscription, make_broker, subscribe
from contracts.process.lifecycle import Grace, consumers_running, working
from contracts.process.postgres import BY_INDEX, connect
from contracts.process.publishing import Publisher, publishing
from contracts.process.settings import BrokerSettings, PoolSettings
from contracts.requests import LeadRequested
from orchestrator.app import new_id, now
from orchestrator.bus.consume import Ears
from orchestrator.bus.publish import bundle_bounds, publisher_of
from orchestrator.core.definition import Saga
from orchestrator.run.items import Asked
from orchestrator.run.loop import Loop
from orchestrator.run.work import Surroundings
from orchestrator.sagas.provision_tenant import PROVISION_TENANT
from orchestrator.sagas.refund import REFUND
from orchestrator.store.postgres import PostgresStore
from steps.runtime.consume import Consumer
from steps.runtime.effects_postgres import PostgresMemory
from steps.runtime.process import declare
from steps.runtime.settings import StepSettings
from steps.runtime.step import Step
from tests.kit.counting import Line, counted_amqp, counted_postgres
from tests.kit.roles import as_role

POOL = PoolSettings(pool_size=4)


@dataclass(frozen=True, slots=True)
class Pipeline:
    front: Loop
    lines: Mapping[str, Line]
    """By side and server."""

    async def ask(self, requests: Sequence[LeadRequested]) -> None:
        """As one group. Returns when they were accepted and the first commands are confirmed."""
        await self.front.handle([Asked(request) for request in requests])

    def counts(self, side: str) -> Counter[str]:
        """Complete once the pipeline has ended."""
        return self.lines[f"{side} postgres"].counts + self.lines[f"{side} rabbitmq"].counts


@asynccontextmanager
async def pipeline(
    database_url: str, amqp_url: str, prefix: str, saga: Saga, steps: Sequence[Step]
) -> AsyncIterator[Pipeline]:
    """`saga` bears the name of one that requests begin, and takes its place."""
    names = Names(prefix)
    async with AsyncExitStack() as stack:
        lines = {}
        for side in ("orchestrator", "steps"):
            lines[f"{side} postgres"] = await stack.enter_async_context(counted_postgres(database_url))
            lines[f"{side} rabbitmq"] = await stack.enter_async_context(counted_amqp(amqp_url))
        publisher, settings = await _broker(stack, lines["steps rabbitmq"], prefix)
        await declare(publisher.connection, names, steps)
        database = await stack.enter_async_context(
            connect(
                as_role(lines["steps postgres"].url, "leadsaga_steps"), POOL, name="steps", session=BY_INDEX
            )
        )
        own = StepSettings.model_construct(bundles_ahead=16, side_by_side=8)
        consumers = [
            Consumer(
                step,
                names,
                PostgresMemory(database),
                publisher,
                None,
                bundles_ahead=own.bundles_ahead,
                side_by_side=own.side_by_side,
                alone=asyncio.Lock(),
            )
            for step in steps
        ]
        await _consume(stack, settings, [each for one in consumers for each in one.subscriptions()])
        front = await _orchestrator(stack, lines, names, saga)
        yield Pipeline(front, lines)


async def _orchestrator(stack: AsyncExitStack, lines: Mapping[str, Line], names: Names, saga: Saga) -> Loop:
    publisher, settings = await _broker(stack, lines["orchestrator rabbitmq"], names.prefix)
    url = as_role(lines["orchestrator postgres"].url, "leadsaga_engine")
    database = await stack.enter_async_context(connect(url, POOL, name="orchestrator", session=BY_INDEX))
    sagas = {(each.name, each.version): each for each in (saga, REFUND, PROVISION_TENANT)}
    around = Surroundings(
        store=PostgresStore(database, versions=sagas),
        sagas=sagas,
        clock=now,
        draw=random.random,
        new_id=new_id,
        limit=1_000_000,
    )
    publish = publisher_of(publisher, names, bundle_bounds([saga]), lambda _: None)
    front, loop = (Loop(around, publish, lambda _: None) for _ in range(2))
    stopping = asyncio.Event()
    await stack.enter_async_context(working([front.run(), loop.run()], stopping))
    queues = saga.queues()
    heard = [
        each
        for each in Ears(loop, front, names).subscriptions(queues)
        if each.queue in {names.queue("requests"), names.queue("replies")}
    ]
    await _consume(stack, settings, heard)
    return front


async def _broker(stack: AsyncExitStack, line: Line, prefix: str) -> tuple[Publisher, BrokerSettings]:
    settings = BrokerSettings(amqp_url=SecretStr(line.url), queue_prefix=prefix)
    return await stack.enter_async_context(publishing(settings, name="counted")), settings


async def _consume(
    stack: AsyncExitStack, settings: BrokerSettings, subscriptions: Sequence[Subscription]
) -> None:
    broker = make_broker(settings)
    for each in subscriptions:
        subscribe(broker, each)
    await stack.enter_async_context(consumers_running(broker, Grace(5)))
