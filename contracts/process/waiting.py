"""Waiting for a service that does not answer yet: not in silence, and not when the process is to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.process import logs

log = logs.get("process")
T = TypeVar("T")

PAUSE = 0.5
SAID_EVERY = 10
"""Tries between two log lines."""


class Stopped(Exception):
    """The process was told to stop before the service answered."""


async def until_answers(
    attempt: Callable[[], Awaitable[T]],
    service: str,
    away: tuple[type[Exception], ...],
    stopping: asyncio.Event,
) -> T:
    """Tries again while `attempt` raises what `away` lists. Raises Stopped."""
    tries = 0
    while not stopping.is_set():
        try:
            return await attempt()
        except away as error:
            if tries % SAID_EVERY == 0:
                log.warning("waiting_for", service_awaited=service, **logs.fault(error))
            tries += 1
        try:
            await asyncio.wait_for(stopping.wait(), PAUSE)
        except TimeoutError:
            continue
    raise Stopped
