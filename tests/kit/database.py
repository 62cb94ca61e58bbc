"""A database of its own for each test, cloned from a template that has the schema."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from orchestrator.operate.migrations import this_release

SCHEMA = Path(__file__).parents[2] / "schema.sql"


def named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def make_template(admin_url: str) -> str:
    """A database with the schema. Returns its name."""
    name = f"leadsaga_template_{secrets.token_hex(4)}"
    await _administer(admin_url, f'CREATE DATABASE "{name}"')
    connection = await asyncpg.connect(named(admin_url, name))
    try:
        await connection.execute(SCHEMA.read_text(encoding="utf-8"))
        await connection.executemany(
            "INSERT INTO leadsaga.schema_versions (version, name, sha256) VALUES ($1, $2, $3)",
            [(script.version, script.name, script.sha256) for script in this_release().scripts],
        )
    finally:
        await connection.close()
    return name


@asynccontextmanager
async def cloned(admin_url: str, template: str) -> AsyncIterator[str]:
    name = f"leadsaga_test_{secrets.token_hex(6)}"
    await _administer(admin_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield named(admin_url, name)
    finally:
        await drop(admin_url, name)


async def drop(admin_url: str, name: str) -> None:
    await _administer(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _administer(admin_url: str, statement: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
