"""Composition root of the orchestrator: the only place that builds pool, broker, clock and metrics."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from aio_pika.abc import AbstractConnection
from uuid_utils.compat import uuid7

from contracts.names import Names
from contracts.process import crash, logs
from contracts.process.consuming import make_broker, subscribe
from contracts.process.garbage import collect_rarely
from contracts.process.health import serving
from contracts.process.lifecycle import (
    STARTING,
    STOPPING,
    Grace,
    change,
    consumers_running,
    keep_watch,
    readiness,
    working,
)
from contracts.process.postgres import BY_INDEX, Database, connect
from contracts.process.publishing import Publisher, publishing
from contracts.process.schema import expect_schema
from contracts.process.settings import BrokerSettings, PoolSettings, ProcessSettings, load, require
from contracts.process.topology import MISSING, declare_engine, declare_exchanges, declare_steps
from contracts.process.waiting import Stopped, stop_on_signals, until_answers
from contracts.process.watchdog import ends_when_blocked
from orchestrator.bus.consume import Ears
from orchestrator.bus.publish import bundle_bounds, publisher_of
from orchestrator.bus.replay import republisher_of
from orchestrator.bus.senders import Senders
from orchestrator.run.chores import Chores
from orchestrator.run.loop import Loop
from orchestrator.run.report import measure, tell
from orchestrator.run.work import Surroundings
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
    require(*(partial(load, each) for each in needed), crash.arm)
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
        stack.enter_context(ends_when_blocked())
        await stack.enter_async_context(serving(process, checks))
        url = engine.engine_url.get_secret_value()
        connected = connect(url, pool, name="orchestrator", stopping=stopping, session=BY_INDEX)
        database = await stack.enter_async_context(connected)
        await expect_schema(database, stopping)
        publisher = await stack.enter_async_context(
            publishing(broker_settings, name="orchestrator", stopping=stopping)
        )
        queues = list(dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues()))
        declare = partial(_declare, names=names, queues=queues, passive=broker_settings.passive)
        await until_answers(partial(declare, publisher.connection), "RabbitMQ's queues", MISSING, stopping)
        loop, front, chores = _assemble(database, publisher, names, queues, process, engine)
        broker, grace = make_broker(broker_settings), Grace(process.finish_seconds)
        ears = Ears(loop, front, names, engine.messages_ahead, Senders(engine.trusted))
        for each in ears.subscriptions(queues):
            subscribe(broker, each)
        work = [front.run(), *(loop.run() for _ in range(engine.groups)), chores.run()]
        await stack.enter_async_context(working(work, stopping))
        await stack.enter_async_context(consumers_running(broker, grace, stopping))
        watch = keep_watch(broker, publisher, database, broker_settings, declare, stopping)
        await stack.enter_async_context(working([watch], stopping))
        change(checks, readiness(broker, publisher, database))
        collect_rarely()
        log.info("started", sagas=[f"{saga.name} v{saga.version}" for saga in REGISTERED])
        await stopping.wait()
        grace.begin()
        change(checks, STOPPING)
        log.info("stopping")


def _assemble(  # noqa: PLR0913, PLR0917 - one argument a concern
    database: Database,
    publisher: Publisher,
    names: Names,
    queues: Sequence[str],
    process: ProcessSettings,
    engine: EngineSettings,
) -> tuple[Loop, Loop, Chores]:
    known = sagas(process.time_scale)
    around = Surroundings(
        store=PostgresStore(database, versions=known),
        sagas=known,
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
    republish = republisher_of(publisher, names, queues)
    chores = Chores(loop, tick, lambda gauges: measure(gauges, now()), confirmed, republish=republish)
    return loop, front, chores


async def _declare(
    connection: AbstractConnection, names: Names, queues: Sequence[str], *, passive: bool
) -> None:
    async with connection.channel() as channel:
        await declare_exchanges(channel, names, passive=passive)
        await declare_engine(channel, names, passive=passive)
        await declare_steps(channel, names, queues, passive=passive)
