"""Changing what belongs to the whole cluster while others do the same.

Roles belong to the cluster, but locks to one database: when two databases are set up at the same moment the
server refuses one of them, usually with "tuple concurrently updated", an internal error.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from orchestrator.operate.errors import Unavailable

TRIES = 20
PAUSE = 0.05
"""Seconds before the second try; each further pause is longer by the same."""

COLLISIONS: tuple[type[Exception], ...] = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateObjectError,
    asyncpg.InternalServerError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """`work` must leave nothing behind when it fails. Raises Unavailable when others always came first."""
    for attempt in range(1, TRIES + 1):
        try:
            await work()
        except COLLISIONS as error:
            if attempt == TRIES:
                raise Unavailable(f"others got in the way {TRIES} times ({type(error).__name__})") from error
            await asyncio.sleep(PAUSE * attempt)
        else:
            return
