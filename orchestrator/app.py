"""Composition root of the orchestrator: the only place that builds pool, broker, clock and metrics."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.names import Names
from contracts.process import logs
from contracts.process.consuming import make_broker
from contracts.process.health import serving
from contracts.process.lifecycle import STARTING, consumers_running, readiness, stop_on_signals
from contracts.process.postgres import Database, connect
from contracts.process.publishing import Publisher, publishing
from contracts.process.settings import BrokerSettings, PoolSettings, ProcessSettings, load, require
from contracts.process.topology import declare_engine, declare_exchanges, declare_steps
from contracts.process.waiting import Stopped
from orchestrator.bus.consume import Ears
from orchestrator.bus.publish import bundle_bounds, publisher_of
from orchestrator.run.chores import Chores
from orchestrator.run.group import Surroundings
from orchestrator.run.loop import Loop
from orchestrator.run.report import measure, tell
from orchestrator.sagas import REGISTERED, sagas
from orchestrator.settings import EngineSettings
from orchestrator.store.postgres import PostgresStore

log = logs.get("process")

SHORTEST_TICK = 0.05


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    """Ordered by time, so that a tenant's rows stay together in indexes."""
    return uuid7()


async def run(stopping: asyncio.Event | None = None) -> None:
    """Runs until SIGTERM or SIGINT (or `stopping`), then finishes the groups it has begun."""
    needed = (ProcessSettings, BrokerSettings, EngineSettings, PoolSettings)
    require(*(partial(load, each) for each in needed))
    process, broker_settings = load(ProcessSettings), load(BrokerSettings)
    engine, pool = load(EngineSettings), load(PoolSettings)
    logs.configure("orchestrator", process.log_level)
    stopping = stopping or stop_on_signals()
    with suppress(Stopped):
        await _run(process, broker_settings, engine, pool, stopping)


async def _run(
    process: ProcessSettings,
    broker_settings: BrokerSettings,
    engine: EngineSettings,
    pool: PoolSettings,
    stopping: asyncio.Event,
) -> None:
    names, checks = Names(broker_settings.queue_prefix), dict(STARTING)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(process, checks))
        url = engine.engine_url.get_secret_value()
        database = await stack.enter_async_context(connect(url, pool, name="orchestrator", stopping=stopping))
        publisher = await stack.enter_async_context(
            publishing(broker_settings, name="orchestrator", stopping=stopping)
        )
        queues = await _declare(publisher, names)
        loop, front, chores = _assemble(database, publisher, names, process, engine)
        broker = make_broker(broker_settings, drain_seconds=process.drain_seconds)
        Ears(loop, front, names).subscribe(broker, queues)
        tasks = [front.run(), *(loop.run() for _ in range(engine.groups)), chores.run()]
        await stack.enter_async_context(_working(tasks, stopping))
        await stack.enter_async_context(consumers_running(broker))
        checks.clear()
        checks.update(readiness(broker, publisher, database))
        log.info("started", sagas=[f"{saga.name} v{saga.version}" for saga in REGISTERED])
        await stopping.wait()
        log.info("stopping")


def _assemble(
    database: Database,
    publisher: Publisher,
    names: Names,
    process: ProcessSettings,
    engine: EngineSettings,
) -> tuple[Loop, Loop, Chores]:
    around = Surroundings(
        store=PostgresStore(database),
        sagas=sagas(process.time_scale),
        clock=now,
        draw=random.random,
        new_id=new_id,
        limit=engine.max_in_flight,
    )
    confirmed = list[UUID]()
    publish = publisher_of(publisher, names, bundle_bounds(REGISTERED), confirmed.extend)
    loop = Loop(around, publish, tell, engine.group_items)
    front = Loop(around, publish, tell, engine.group_items)
    tick = max(engine.tick_seconds * process.time_scale, SHORTEST_TICK)
    return loop, front, Chores(loop, tick, lambda gauges: measure(gauges, now()), confirmed)


async def _declare(publisher: Publisher, names: Names) -> list[str]:
    queues = list(dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues()))
    async with publisher.connection.channel() as channel:
        await declare_exchanges(channel, names)
        await declare_engine(channel, names)
        await declare_steps(channel, names, queues)
    return queues


@asynccontextmanager
async def _working(work: list[Coroutine[Any, Any, None]], stopping: asyncio.Event) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        # A loop that dies takes the process with it: a supervisor starts it again, and nothing was lost.
        task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        failed = [task for task in tasks if task.done() and not task.cancelled()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in failed:
            task.result()
