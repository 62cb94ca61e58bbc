"""What the steps of every peer do: the work of `tests.benchmarks.noop`, on a plain table."""

import asyncio
import os
from functools import cache
from typing import Any

INSERT = "INSERT INTO peer_usage (saga, items) VALUES ($1, $2) ON CONFLICT DO NOTHING"
REPORT = "UPDATE peer_usage SET reported_at = now() WHERE saga = $1"
CONNECTIONS = 10

Items = list[dict[str, Any]]


def items() -> Items:
    return [{"company": f"Company {number}", "score": 90 - number} for number in range(10)]


async def insert(key: str, count: int) -> None:
    await (await _pool()).execute(INSERT, key, count)


async def report(key: str) -> None:
    await (await _pool()).execute(REPORT, key)


@cache
def _pool() -> "asyncio.Task[Any]":
    """One for the process, opened by who first needs it: the peers' workers have no common place for it."""
    return asyncio.ensure_future(_opened())


async def _opened() -> Any:
    import asyncpg  # noqa: PLC0415 - Celery's workers have no use for it

    return await asyncpg.create_pool(os.environ["PEER_DATABASE_URL"], min_size=1, max_size=CONNECTIONS)
