"""Brings a database to the schema of this release; running it again changes nothing.

An empty database gets schema.sql, which holds what all numbered files lead to, and remembers them as applied.
A database with data gets the files it has not had yet, each in a transaction of its own. What was applied
before must still be what this release says it was.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg

from contracts.process.postgres import AWAY
from contracts.process.settings import load
from orchestrator.operate.collisions import patiently
from orchestrator.operate.errors import Refused
from orchestrator.operate.migrations import Release, Script, this_release
from orchestrator.operate.role_passwords import RoleUrls, passwords, set_passwords
from orchestrator.operate.session import CONNECT_SECONDS, connected, database_errors, place
from orchestrator.settings import AdminSettings

PATIENCE = 60.0
"""Seconds that `wait` gives the database to answer."""

NOT_YET: tuple[type[Exception], ...] = (*AWAY, asyncpg.InvalidCatalogNameError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """`applied`: what this run did; `passwords`: roles whose password was set."""

    version: int
    applied: list[str]
    passwords: list[str]


async def migrate(*, wait: bool = False, release: Release | None = None) -> Migrated:
    """Reads LEADSAGA_DATABASE_URL and the URLs of the roles. Raises BadSettings, Unavailable, and Refused
    when the database was made from something else than this release."""
    url = load(AdminSettings).database_url.get_secret_value()
    wanted = passwords(load(RoleUrls))
    release = release or this_release()
    with database_errors(place(url)):
        connection = await _connect(url, PATIENCE if wait else 0.0)
        try:
            # One run at a time in this database.
            await connection.execute("SELECT pg_advisory_lock(hashtext('leadsaga migrate'))")
            applied = await _bring_up(connection, release)
            await set_passwords(connection, wanted)
        finally:
            connection.terminate()
    version = max(script.version for script in release.scripts)
    return Migrated(version=version, applied=applied, passwords=sorted(wanted))


async def _connect(url: str, patience: float) -> Any:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            connecting = asyncpg.connect(
                url, timeout=CONNECT_SECONDS, server_settings={"application_name": "leadsaga migrate"}
            )
            return await connected(connecting, "LEADSAGA_DATABASE_URL")
        except NOT_YET:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(0.5)


async def _bring_up(connection: Any, release: Release) -> list[str]:
    recorded = await _recorded(connection)
    if recorded is None:
        await patiently(lambda: _install(connection, release))
        return [script.name for script in release.scripts]
    pending = _pending(release, recorded)
    for script in pending:
        await _upgrade(connection, script)
    if pending:
        async with connection.transaction():
            await _remember_schema(connection, release.schema)
    return [script.name for script in pending]


async def _recorded(connection: Any) -> dict[int, str] | None:
    """sha256 by version; None if nothing of ours is there. Raises Refused for a schema of another origin."""
    if not await connection.fetchval("SELECT to_regnamespace('leadsaga') IS NOT NULL"):
        return None
    if await connection.fetchval("SELECT to_regclass('leadsaga.schema_versions') IS NULL"):
        raise Refused("the database has a schema leadsaga that is not ours")
    found = await connection.fetch("SELECT version, sha256 FROM leadsaga.schema_versions")
    if not found:
        raise Refused("the schema was applied by hand: nobody can say which release it is of")
    return {record["version"]: record["sha256"] for record in found}


def _pending(release: Release, recorded: dict[int, str]) -> list[Script]:
    known = {script.version for script in release.scripts}
    if newer := sorted(recorded.keys() - known):
        raise Refused(f"the database is of a newer release: version {newer[-1]} is not known here")
    for script in release.migrations:
        if script.version in recorded and recorded[script.version] != script.sha256:
            raise Refused(f"{script.name} was changed after it was applied here")
    pending = [script for script in release.migrations if script.version not in recorded]
    if not pending and recorded.get(release.schema.version) != release.schema.sha256:
        raise Refused("schema.sql was changed, and no numbered migration brings this database there")
    return pending


async def _install(connection: Any, release: Release) -> None:
    async with connection.transaction():
        await connection.execute(release.schema.text)
        for script in release.scripts:
            await _remember(connection, script)


async def _upgrade(connection: Any, script: Script) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL ROLE leadsaga_owner; SET LOCAL search_path = leadsaga")
        await connection.execute(script.text)
        await _remember(connection, script)


async def _remember(connection: Any, script: Script) -> None:
    await connection.execute(
        "INSERT INTO leadsaga.schema_versions (version, name, sha256) VALUES ($1, $2, $3)",
        script.version,
        script.name,
        script.sha256,
    )


async def _remember_schema(connection: Any, schema: Script) -> None:
    """Once all numbered files are applied, the database is what this schema.sql says."""
    await connection.execute(
        "UPDATE leadsaga.schema_versions SET sha256 = $2 WHERE version = $1", schema.version, schema.sha256
    )
