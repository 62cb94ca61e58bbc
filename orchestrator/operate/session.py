"""A connection for one command: one try, and a clear word when it fails."""

import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg

from contracts.process import crash
from contracts.process.postgres import AWAY, Database
from contracts.process.settings import BadSettings, load
from orchestrator.operate.errors import Unavailable
from orchestrator.settings import OperatorSettings, RotationSettings

UNREACHABLE: tuple[type[Exception], ...] = (
    *AWAY,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

T = TypeVar("T")

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30


def actor() -> str:
    """Who acts, for the audit: LEADSAGA_ACTOR, or the user of the operating system."""
    named = os.environ.get("LEADSAGA_ACTOR", "").strip()
    if named:
        return named[:200]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def place(url: str) -> str:
    """Host, port and path of a URL: what may be shown of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an unreadable URL"
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def database_errors(where: str) -> Iterator[None]:
    """Turns what the database says into Unavailable; texts of the driver may quote secrets and stay out."""
    try:
        yield
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as e:
        raise Unavailable(f"the database at {where} is not set up: run `leadsaga migrate`") from e
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
        raise Unavailable(f"the database at {where} took too long to answer") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise Unavailable(f"the database at {where} does not let this role do that") from error
    except UNREACHABLE as error:
        raise Unavailable(f"the database at {where} cannot be reached ({type(error).__name__})") from error


async def connected(connecting: Awaitable[T], setting: str) -> T:
    """Raises BadSettings for a URL that cannot be one, and all that connecting raises."""
    try:
        return await connecting
    except ValueError as error:
        # asyncpg's error for a malformed URL is a ValueError too, and its text may quote the URL.
        raise BadSettings([f"{setting} is malformed"]) from error


@asynccontextmanager
async def operator_database() -> AsyncIterator[Database]:
    """The database as the role leadsaga_operator sees it. Raises BadSettings or Unavailable."""
    crash.arm()
    url = load(OperatorSettings).operator_url.get_secret_value()
    async with _database(url, "LEADSAGA_OPERATOR_URL") as database:
        yield database


@asynccontextmanager
async def sealers_database() -> AsyncIterator[Database]:
    """The database as the role leadsaga_steps sees it. Raises BadSettings or Unavailable."""
    url = load(RotationSettings).steps_url.get_secret_value()
    async with _database(url, "LEADSAGA_STEPS_URL") as database:
        yield database


@asynccontextmanager
async def _database(url: str, setting: str) -> AsyncIterator[Database]:
    with database_errors(place(url)):
        pool = await connected(_pool(url), setting)
        try:
            yield Database(pool)
        finally:
            pool.terminate()


async def _pool(url: str) -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=2,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS * 2,
        server_settings={
            "application_name": "leadsaga operator",
            "search_path": "leadsaga",
            "statement_timeout": str(STATEMENT_SECONDS * 1000),
            "lock_timeout": str(STATEMENT_SECONDS * 1000),
        },
    )
