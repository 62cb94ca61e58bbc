"""The life of a process: it consumes until it is told to stop, and says truly whether it can work."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.rabbit import RabbitBroker

from contracts.process.consuming import consuming
from contracts.process.health import Check
from contracts.process.postgres import Database
from contracts.process.publishing import Publisher


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


@asynccontextmanager
async def consumers_running(broker: RabbitBroker) -> AsyncIterator[None]:
    """On leaving: stops taking, lets handlers finish within the broker's grace, then cancels them."""
    await broker.start()
    try:
        yield
    finally:
        await broker.stop()


async def not_yet() -> bool:
    return False


STARTING: dict[str, Check] = {"started": not_yet}
"""While a process waits for its services it is live, and not ready."""


def readiness(broker: RabbitBroker, publisher: Publisher, database: Database) -> dict[str, Check]:
    async def consumers() -> bool:
        return consuming(broker)

    async def publishes() -> bool:
        return publisher.connected

    return {"consumers": consumers, "publisher": publishes, "database": database.answers}
