"""The life of a process: it consumes until it is told to stop, and says truly whether it can work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from faststream.rabbit import RabbitBroker

from contracts.process import logs
from contracts.process.amqp import dead_line_is_an_error
from contracts.process.consuming import Broker, consuming, drain
from contracts.process.health import Check
from contracts.process.postgres import Database
from contracts.process.publishing import BROKER_AWAY, Publisher
from contracts.process.settings import BrokerSettings
from contracts.process.waiting import CONNECT_SECONDS, unless_stopped

log = logs.get("process")

LOOK_EVERY = 2.0
"""Seconds between two looks at what a process needs."""

PATIENCE = 10.0
"""Seconds without a consumer, though the broker answers, that are left to the client library to mend it."""

LEAVE_SECONDS = 2.0
"""Until a broker that does not answer is left: every consumer has a channel there that is closed first."""

BREAK_SECONDS = 1.0
"""Until work that was cancelled is left behind."""

Declare = Callable[[AbstractConnection], Awaitable[object]]


class ConsumersLost(Exception):
    """The broker answers, and consumers do not come back: the process ends, to be started again."""


@dataclass(slots=True)
class Grace:
    """How long what was begun may still take, once the process was told to stop."""

    seconds: float
    ends: float | None = None

    def begin(self) -> None:
        self.ends = asyncio.get_running_loop().time() + self.seconds

    def left(self) -> float:
        return self.seconds if self.ends is None else max(0.0, self.ends - asyncio.get_running_loop().time())


@asynccontextmanager
async def consumers_running(
    broker: Broker, grace: Grace, stopping: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """On leaving: stops taking, lets handlers finish within the grace, then cancels them. Raises Stopped when
    the process is to stop before they run."""
    try:
        await unless_stopped(broker.start(), stopping or asyncio.Event())
        yield
    finally:
        await drain(broker, grace.left())
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await break_off(list(broker.handling))
                with dead_line_is_an_error():
                    await broker.stop()
        except Exception as error:  # noqa: BLE001 - it is away, and nothing of ours is left there to be closed
            log.info("broker_not_left", **logs.fault(error))


@asynccontextmanager
async def working(work: Sequence[Coroutine[Any, Any, None]], stopping: asyncio.Event) -> AsyncIterator[None]:
    """Runs beside the rest, and is cancelled on leaving. When any of it fails the process stops, and raises
    that at its end: a supervisor starts it again, and nothing was lost."""
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        failed = [task for task in tasks if task.done() and not task.cancelled()]
        await break_off(tasks)
        for task in failed:
            task.result()


async def break_off(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Returns when they have ended. One that a dead connection holds up is left to end with it."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=BREAK_SECONDS)


async def keep_watch(  # noqa: PLR0913, PLR0917 - what a process needs
    broker: RabbitBroker,
    publisher: Publisher,
    database: Database,
    settings: BrokerSettings,
    declare: Declare,
    stopping: asyncio.Event,
) -> None:
    """Sees to it that lost consumers and connections come back. Raises ConsumersLost when they do not."""
    clock = asyncio.get_running_loop().time
    lost: float | None = None
    while not stopping.is_set():
        await database.answers()  # for what it does: dead connections are given up before work meets them
        astray = publisher.astray or not consuming(broker)
        answers = not astray or await _declared(settings, declare)
        if consuming(broker) or not answers:
            lost = None
        elif clock() - (lost := lost or clock()) > PATIENCE:
            log.error("consumers_lost", seconds=PATIENCE)
            raise ConsumersLost
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_EVERY)


async def _declared(settings: BrokerSettings, declare: Declare) -> bool:
    """Whether the broker answers on a new connection. What was deleted there is declared again: consumers
    come back to a queue as soon as it exists."""
    try:
        with dead_line_is_an_error():
            connection = await aio_pika.connect(settings.amqp_url.get_secret_value(), timeout=CONNECT_SECONDS)
    except BROKER_AWAY:
        return False
    try:
        with dead_line_is_an_error():
            async with asyncio.timeout(CONNECT_SECONDS), connection:
                await declare(connection)
    except BROKER_AWAY as error:
        log.warning("not_declared", **logs.fault(error))
    return True


async def not_yet() -> bool:
    return False


STARTING: dict[str, Check] = {"started": not_yet}
"""While a process waits for its services it is live, and not ready."""

STOPPING: dict[str, Check] = {"running": not_yet}


def change(checks: dict[str, Check], to: dict[str, Check]) -> None:
    """What the process answers to /ready from now on."""
    checks.clear()
    checks.update(to)


def readiness(broker: RabbitBroker, publisher: Publisher, database: Database) -> dict[str, Check]:
    async def consumers() -> bool:
        return consuming(broker)

    async def publishes() -> bool:
        return publisher.connected

    return {"consumers": consumers, "publisher": publishes, "database": database.answers}
