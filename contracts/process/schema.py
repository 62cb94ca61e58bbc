"""The schema of the database: a process runs on the one that its release needs, and on newer ones."""

import asyncio

import asyncpg

from contracts.process.postgres import AWAY, Database
from contracts.process.settings import BadSettings
from contracts.process.waiting import until_answers

NEEDED = 2
"""The newest numbered file of deploy/migrations that this release relies on."""


async def expect_schema(database: Database, stopping: asyncio.Event) -> None:
    """Raises BadSettings when the schema is older than this release can work on, or is not there at all. It
    may be newer: no release takes away what the one before it needs. Raises Stopped."""
    found = await until_answers(lambda: _version(database), "Postgres", AWAY, stopping)
    if found is None or found < NEEDED:
        has = "no schema of ours" if found is None else f"schema version {found}"
        raise BadSettings(
            [f"the database has {has}, this release needs {NEEDED}: run `leadsaga migrate` first"]
        )


async def _version(database: Database) -> int | None:
    try:
        async with database.transaction(name="schema") as connection:
            found: int | None = await connection.fetchval("SELECT max(version) FROM schema_versions")
    except asyncpg.UndefinedTableError:
        return None
    return found
