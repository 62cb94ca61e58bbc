"""One process that runs one or more steps: settings in, consumers and background jobs out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aio_pika

from contracts.messages import Reply
from contracts.names import Names
from contracts.process import crash, logs
from contracts.process.consuming import make_broker, subscribe
from contracts.process.garbage import collect_rarely
from contracts.process.health import serving
from contracts.process.lifecycle import (
    STARTING,
    STOPPING,
    Grace,
    break_off,
    change,
    consumers_running,
    keep_watch,
    readiness,
    working,
)
from contracts.process.postgres import BY_INDEX, TROUBLE, Database, connect
from contracts.process.publishing import NotPublished, publishing
from contracts.process.schema import expect_schema
from contracts.process.settings import BrokerSettings, PoolSettings, ProcessSettings, load, require
from contracts.process.topology import (
    MISSING,
    declare_engine,
    declare_exchanges,
    declare_heard,
    declare_steps,
)
from contracts.process.waiting import Stopped, stop_on_signals, until_answers
from contracts.process.watchdog import ends_when_blocked
from steps.runtime import observe
from steps.runtime.consume import Consumer
from steps.runtime.effects_postgres import PostgresMemory
from steps.runtime.settings import StepSettings
from steps.runtime.step import Job, Step

log = logs.get("process")

MEASURE_EVERY = 2.0

JOB_PAUSE = 1.0
"""Seconds after a failed round of background work."""


@dataclass(slots=True)
class JobWorker:
    """Implements the Worker that background jobs see."""

    consumer: Consumer
    database: Database
    time_scale: float
    visits: int
    stopping: asyncio.Event

    @property
    def client(self) -> Any:
        return self.consumer.client

    async def wake(self, seconds: float) -> None:
        taken, stopping = self.consumer.taken, self.stopping
        waits = [asyncio.ensure_future(event.wait()) for event in (taken, stopping)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            taken.clear()

    async def answer(self, replies: Sequence[Reply]) -> None:
        await self.consumer.answer(replies)


async def run(steps: Sequence[Step], stopping: asyncio.Event | None = None) -> None:
    """Runs until SIGTERM or SIGINT (or `stopping`), then finishes what it has begun."""
    needed = (ProcessSettings, BrokerSettings, StepSettings, PoolSettings)
    of_steps = (read for step in steps for read in step.settings)
    require(*(partial(load, each) for each in needed), crash.arm, *of_steps)
    process, broker_settings = load(ProcessSettings), load(BrokerSettings)
    own, pool = load(StepSettings), load(PoolSettings)
    logs.configure(_label(steps), process.log_level)
    stopping = stopping or stop_on_signals()
    with suppress(Stopped):
        await _run(steps, process, broker_settings, own, pool, stopping)


async def _run(  # noqa: PLR0913, PLR0917 - one argument a concern
    steps: Sequence[Step],
    process: ProcessSettings,
    broker_settings: BrokerSettings,
    own: StepSettings,
    pool: PoolSettings,
    stopping: asyncio.Event,
) -> None:
    names, checks = Names(broker_settings.queue_prefix), dict(STARTING)
    label = _label(steps)
    async with AsyncExitStack() as stack:
        stack.enter_context(ends_when_blocked())
        await stack.enter_async_context(serving(process, checks))
        url = own.steps_url.get_secret_value()
        database = await stack.enter_async_context(
            connect(url, pool, name=label, stopping=stopping, session=BY_INDEX)
        )
        await expect_schema(database, stopping)
        for expects in [step.expects for step in steps if step.expects]:
            await expects(database, stopping)
        publisher = await stack.enter_async_context(
            publishing(broker_settings, name=label, stopping=stopping)
        )
        memory, alone = PostgresMemory(database), asyncio.Lock()
        consumers = [
            Consumer(
                step,
                names,
                memory,
                publisher,
                await stack.enter_async_context(step.client()),
                bundles_ahead=own.bundles_ahead,
                side_by_side=own.side_by_side,
                alone=alone,
            )
            for step in steps
        ]
        topology = partial(declare, names=names, steps=steps, passive=broker_settings.passive)
        await until_answers(partial(topology, publisher.connection), "RabbitMQ's queues", MISSING, stopping)
        broker, grace = make_broker(broker_settings), Grace(process.finish_seconds)
        for each in [each for consumer in consumers for each in consumer.subscriptions()]:
            subscribe(broker, each)
        workers = [
            JobWorker(consumer, database, process.time_scale, own.visits, stopping) for consumer in consumers
        ]
        await stack.enter_async_context(_jobs(workers, grace))
        await stack.enter_async_context(consumers_running(broker, grace, stopping))
        watch = keep_watch(broker, publisher, database, broker_settings, topology, stopping)
        await stack.enter_async_context(working([watch], stopping))
        change(checks, readiness(broker, publisher, database))
        collect_rarely()
        log.info("started", steps=[step.name for step in steps])
        await stopping.wait()
        for consumer in consumers:
            consumer.close()
        grace.begin()
        change(checks, STOPPING)
        log.info("stopping")


def _label(steps: Sequence[Step]) -> str:
    return ",".join(step.name for step in steps)


async def declare(
    connection: aio_pika.abc.AbstractConnection, names: Names, steps: Sequence[Step], *, passive: bool = False
) -> None:
    """What these steps need, and the queue that takes their replies, whoever starts first."""
    async with connection.channel() as channel:
        await declare_exchanges(channel, names, passive=passive)
        await declare_engine(channel, names, passive=passive)
        for step in steps:
            await declare_steps(channel, names, step.work(), passive=passive)
            if step.hears:
                await declare_heard(channel, names, step.name, step.hears, passive=passive)


@asynccontextmanager
async def _jobs(workers: Sequence[JobWorker], grace: Grace) -> AsyncIterator[None]:
    """Ends after the consumers, which may leave it something to do."""
    tasks = [asyncio.create_task(_repeat(worker)) for worker in workers if worker.consumer.step.job]
    tasks += [asyncio.create_task(_measure(worker)) for worker in workers if worker.consumer.step.measure]
    try:
        yield
    finally:
        await _let_end([worker.consumer.step.job for worker in workers], grace.left())
        # Every round is safe to interrupt: what it committed is picked up by the next one.
        await break_off(tasks)


async def _let_end(jobs: Sequence[Job | None], seconds: float) -> None:
    """A call that is under way is worth waiting for: broken off, its outcome would be unknown for a while."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(job.ended() for job in jobs if job is not None))
    except TimeoutError:
        log.warning("jobs_broken_off", seconds=seconds)


async def _measure(worker: JobWorker) -> None:
    step = worker.consumer.step
    assert step.measure is not None
    while True:
        try:
            await step.measure(worker.database)
        except TROUBLE as error:
            log.info("not_measured", step=step.name, **logs.fault(error))
        await asyncio.sleep(MEASURE_EVERY)


async def _repeat(worker: JobWorker) -> None:
    step = worker.consumer.step
    assert step.job is not None
    while not worker.stopping.is_set():
        try:
            await step.job(worker)
        except NotPublished as error:
            observe.PUBLISH_FAILURES.labels(step.name).inc()
            log.warning("publish_not_confirmed", **logs.fault(error))
            await worker.wake(JOB_PAUSE)
        except Exception as error:  # noqa: BLE001 - background work must outlive any one failure
            observe.JOB_FAILURES.labels(step.name).inc()
            log.warning("job_failed", step=step.name, **logs.fault(error))
            await worker.wake(JOB_PAUSE)
