"""Waiting for a database that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.process import logs
from contracts.process.postgres import AGAIN, AWAY, log_name

log = logs.get("runtime")
T = TypeVar("T")

PAUSE = 0.5
"""Seconds between tries while the database or the broker is away. The message stays unacknowledged, so the
broker, and not this process, holds what waits."""


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeats a unit of work while the database is away, or makes it lose races: what it did before is not
    lost, nor done twice."""
    while True:
        try:
            return await work()
        except (*AWAY, *AGAIN) as error:
            log.warning(log_name(error), **logs.fault(error))
            await asyncio.sleep(PAUSE)
