"""Being told to stop, and waiting for a service that does not answer yet: not in silence, and no longer than
until then."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.process import logs

log = logs.get("process")
T = TypeVar("T")

CONNECT_SECONDS = 8
"""Until an attempt to connect is given up: a server may accept, and then say nothing. On a bad line it takes
half a dozen times half a second, both ways."""

CLOSE_SECONDS = 1.0
"""Until a connection that is being closed is dropped: what is away does not answer its farewell."""

PAUSE = 0.5
SAID_EVERY = 10
"""Tries between two log lines."""


class Stopped(Exception):
    """The process was told to stop before the service answered."""


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def unless_stopped(work: Awaitable[T], stopping: asyncio.Event) -> T:
    """What the work returns or raises. Breaks it off, and raises Stopped, when the process is to stop."""
    try:
        async with asyncio.timeout(None) as limit:
            told = asyncio.create_task(_end(limit, stopping))
            try:
                return await work
            finally:
                told.cancel()
    except TimeoutError:
        if limit.expired():
            raise Stopped from None
        raise


async def _end(limit: asyncio.Timeout, stopping: asyncio.Event) -> None:
    await stopping.wait()
    limit.reschedule(asyncio.get_running_loop().time())


async def until_answers(
    attempt: Callable[[], Awaitable[T]],
    service: str,
    away: tuple[type[Exception], ...],
    stopping: asyncio.Event,
) -> T:
    """Tries again while `attempt` raises what `away` lists. Raises Stopped."""
    tries = 0
    while True:
        try:
            return await unless_stopped(attempt(), stopping)
        except away as error:
            if tries % SAID_EVERY == 0:
                log.warning("waiting_for", service_awaited=service, **logs.fault(error))
            tries += 1
        await unless_stopped(asyncio.sleep(PAUSE), stopping)
