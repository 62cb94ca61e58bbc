"""The database as a process of ours sees it: a pool of its own role, one tenant set per transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from contracts.process.settings import BadSettings, PoolSettings
from contracts.process.waiting import until_answers

Connection = asyncpg.pool.PoolConnectionProxy
"""What a transaction hands out. Annotated here once, since asyncpg's own names differ for pools."""

AWAY: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
)
"""The database cannot be reached or is not itself: wait, then try the whole unit of work again."""

AGAIN: tuple[type[Exception], ...] = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.QueryCanceledError,
)
"""The unit of work was unlucky: it lost a race, or its time ran out behind a lock or a slow disk. It was
rolled back, and the same again may succeed."""


def trouble(error: Exception) -> str:
    """What to call it in the log: an outage is looked for elsewhere than a lock."""
    return "database_contention" if isinstance(error, AGAIN) else "database_away"


TROUBLE: tuple[type[Exception], ...] = (*AWAY, asyncpg.PostgresError)


class Database:
    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[Any]:
        """One transaction. The tenant is set for its duration only, so a pooled connection never carries it
        over to the next one."""
        async with self.pool.acquire() as connection, connection.transaction():
            if tenant_id is not None:
                await set_tenant(connection, tenant_id)
            yield connection

    async def answers(self) -> bool:
        """Whether the database answers a trivial question within two seconds."""
        try:
            async with asyncio.timeout(2):
                return bool(await self.pool.fetchval("SELECT true"))
        except TROUBLE:
            return False


async def set_tenant(connection: Any, tenant_id: str) -> None:
    await connection.execute("SELECT set_config('leadsaga.tenant_id', $1, true)", tenant_id)


@asynccontextmanager
async def connect(
    url: str, pool: PoolSettings, *, name: str, stopping: asyncio.Event | None = None
) -> AsyncIterator[Database]:
    """Waits until the database answers. Raises BadSettings when it refuses the user, and Stopped."""
    made = await until_answers(lambda: _pool(url, pool, name), "Postgres", AWAY, stopping or asyncio.Event())
    try:
        yield Database(made)
    finally:
        try:
            async with asyncio.timeout(5):
                await made.close()
        except AWAY:
            made.terminate()


async def _pool(url: str, pool: PoolSettings, name: str) -> "asyncpg.Pool[asyncpg.Record]":
    """Its sessions cannot hang: statements, locks and idle transactions are limited by the server."""
    millis = pool.statement_timeout * 1000
    settings = {
        "application_name": f"leadsaga {name}",
        "search_path": "leadsaga",
        "timezone": "UTC",
        "statement_timeout": str(int(millis)),
        "lock_timeout": str(int(millis / 3)),
        "idle_in_transaction_session_timeout": str(int(millis * 4)),
    }
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool.pool_size,
            command_timeout=pool.statement_timeout * 2,
            timeout=10,
            server_settings=settings,
        )
    except asyncpg.InvalidAuthorizationSpecificationError:
        reason = "the database refuses its user or password"
        raise BadSettings([f"the Postgres URL of {name}: {reason}"]) from None
