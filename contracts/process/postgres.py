"""The database as a process of ours sees it: a pool of its own role; every transaction says whose it is."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from contracts.process import crash
from contracts.process.settings import BadSettings, PoolSettings
from contracts.process.waiting import CLOSE_SECONDS, CONNECT_SECONDS, until_answers

Connection = asyncpg.pool.PoolConnectionProxy
"""What a transaction hands out. Annotated here once, since asyncpg's own names differ for pools."""

AWAY: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the pool's, of a connection that the server had just ended
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

TROUBLE: tuple[type[Exception], ...] = (*AWAY, asyncpg.PostgresError)
"""Whatever the database or the line to it may raise: for who does without its answer, or comes back later
anyway, and need not know which it was."""


SILENCE = 4.0
"""Seconds after which a connection that should answer at once counts as dead. A bad line has half a second of
latency; to open a new connection over it costs more than waiting."""

LATE = 2.0
"""Seconds after which a statement that the server should have ended has lost its connection."""


def log_name(error: Exception) -> str:
    """An outage (what AWAY lists) is looked for elsewhere than a race that was lost."""
    return "database_away" if isinstance(error, AWAY) else "database_contention"


class Refused(ConnectionError):
    """The database is there, and accepts no connections of ours just now."""


class Database:
    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(
        self, tenant_id: str | None = None, *, bundle: Sequence[str] = (), name: str | None = None
    ) -> AsyncIterator[Any]:
        """One transaction, of one tenant, or of nobody; then `bundle` are the tenants whose commands it
        carries out. It is set for its duration only, and whatever a pooled connection carries over from the
        one before is overruled. `name` makes crash points of its end; only tests leave it out."""
        begin = _begin(tenant_id, bundle)
        async with self._connection() as connection:
            await self._begun(connection, begin)
            try:
                yield connection
                crash.point(name, "commit")
                await connection.execute("COMMIT")
            except TimeoutError:
                await self._give_up(connection)
                raise
            except BaseException:
                await self._roll_back(connection)
                raise
        crash.point(name, "committed")

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Any]:
        """For statements that commit each by itself, of nobody: half of the round trips of a transaction."""
        async with self._connection() as connection:
            try:
                yield connection
            except TimeoutError:
                await self._give_up(connection)
                raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            connection = await self.pool.acquire()
        except AWAY:
            raise
        except asyncpg.PostgresError as error:
            raise Refused(type(error).__name__) from error
        try:
            yield connection
        finally:
            # What is committed is committed, whatever becomes of its connection.
            with suppress(*TROUBLE):
                await self.pool.release(connection)

    async def _begun(self, connection: Any, begin: str) -> None:
        try:
            await connection.execute(begin)
        except BaseException:
            await self._give_up(connection)
            raise

    async def _roll_back(self, connection: Any) -> None:
        """Asyncpg's own way would wait for a dead connection, at its end, as long as for a slow statement."""
        try:
            async with asyncio.timeout(SILENCE):
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
        except TROUBLE:
            await self._give_up(connection)

    async def answers(self) -> bool:
        """Whether the database answers a trivial question in time. When it does not, connections are opened
        anew before they are used: of a server that is gone, the next ones would be as silent as this one."""
        try:
            async with asyncio.timeout(SILENCE), self._connection() as connection:
                try:
                    return bool(await connection.execute("SELECT true"))
                except BaseException:
                    await self._give_up(connection)
                    raise
        except TROUBLE:
            return False

    async def _give_up(self, connection: Any) -> None:
        connection.terminate()
        await self.pool.expire_connections()


def _begin(tenant_id: str | None, bundle: Sequence[str]) -> str:
    """One round trip. Without parameters, for only so may statements travel together."""
    return (
        f"BEGIN; SELECT set_config('leadsaga.tenant_id', {_literal(tenant_id or '')}, true),"
        f" set_config('leadsaga.bundle_tenants', {_literal(_array(bundle) if bundle else '')}, true)"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _array(texts: Sequence[str]) -> str:
    """In quotes, for a tenant may be called null."""
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in escaped) + "}"


async def set_tenant(connection: Any, tenant_id: str | None) -> None:
    """Until the transaction ends, or another one is set. None: nobody's."""
    await connection.execute("SELECT set_config('leadsaga.tenant_id', $1, true)", tenant_id or "")


BY_INDEX: Mapping[str, str] = {"enable_seqscan": "off"}
"""For who only ever looks for rows by their keys. A plan that is made while tables are small, and kept, would
read them whole, and go on doing so while they grow."""


@asynccontextmanager
async def connect(
    url: str,
    pool: PoolSettings,
    *,
    name: str,
    stopping: asyncio.Event | None = None,
    session: Mapping[str, str] | None = None,
) -> AsyncIterator[Database]:
    """Waits until the database answers. `session`: settings of Postgres. Raises BadSettings when it refuses
    the user, and Stopped."""
    made = await until_answers(
        lambda: _pool(url, pool, name, session or {}), "Postgres", AWAY, stopping or asyncio.Event()
    )
    try:
        yield Database(made)
    finally:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await made.close()
        except AWAY:
            made.terminate()


async def _pool(
    url: str, pool: PoolSettings, name: str, session: Mapping[str, str]
) -> "asyncpg.Pool[asyncpg.Record]":
    """Its sessions cannot hang: statements, locks and idle transactions are limited by the server, which may
    learn as late as we do that the line between us is dead."""
    millis = pool.statement_timeout * 1000
    settings = {
        "application_name": f"leadsaga {name}",
        "search_path": "leadsaga",
        "timezone": "UTC",
        "standard_conforming_strings": "on",
        "statement_timeout": str(int(millis)),
        "lock_timeout": str(int(millis / 3)),
        "idle_in_transaction_session_timeout": str(int(millis)),
        # A session whose client vanished while it was being spoken to is under none of those limits.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        **session,
    }
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool.pool_size,
            command_timeout=pool.statement_timeout + LATE,
            timeout=CONNECT_SECONDS,
            server_settings=settings,
            reset=_as_it_is,
        )
    except asyncpg.InvalidAuthorizationSpecificationError:
        reason = "the database refuses its user or password"
        raise BadSettings([f"the Postgres URL of {name}: {reason}"]) from None
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise Refused(type(error).__name__) from error


async def _as_it_is(_: Any) -> None:
    """A round trip is saved each time a connection is given back. Transactions that are still open are rolled
    back all the same, locks and cursors of ours end with theirs, and the next one says whose it is."""
