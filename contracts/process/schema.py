"""The schema of the database: a process runs on the one that its release needs, and on newer ones."""

import asyncio

import asyncpg

from contracts.process.postgres import AWAY, Database
from contracts.process.settings import BadSettings
from contracts.process.waiting import until_answers

NEEDED = 9
"""The newest numbered file of deploy/migrations that this release relies on."""


_ABOVE = "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"


async def expect_schema(database: Database, stopping: asyncio.Event) -> None:
    """Raises BadSettings when the schema is older than this release can work on, or is not there at all. It
    may be newer: no release takes away what the one before it needs. And when the user is one whom row-level
    security does not bind: then nothing but our own code would keep tenants apart. Raises Stopped."""
    found, above = await until_answers(lambda: _look(database), "Postgres", AWAY, stopping)
    if found is None or found < NEEDED:
        has = "no schema of ours" if found is None else f"schema version {found}"
        raise BadSettings(
            [f"the database has {has}, this release needs {NEEDED}: run `leadsaga migrate` first"]
        )
    if above is not None:
        why = f"row-level security does not bind the database user {above}"
        raise BadSettings([f"{why}: give each process the URL of its own role"])


async def _look(database: Database) -> tuple[int | None, str | None]:
    """The version, and our user if it is above row-level security."""
    try:
        async with database.transaction(name="schema") as connection:
            found: int | None = await connection.fetchval("SELECT max(version) FROM schema_versions")
            above: str | None = await connection.fetchval(_ABOVE)
    except asyncpg.UndefinedTableError:
        return None, None
    return found, above
