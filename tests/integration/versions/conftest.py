"""Databases as older releases left them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from orchestrator.operate.migrate import migrate
from orchestrator.operate.migrations import SCHEMA, Release, Script
from tests.golden.kept import RECORDS, Record
from tests.kit.database import drop, named

SEARCH_PATH = {"search_path": "leadsaga"}


@pytest.fixture(params=RECORDS, ids=str)
def record(request: pytest.FixtureRequest) -> Record:
    found: Record = request.param
    return found


@pytest.fixture(autouse=True)
def no_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """No URL of a role, so that no password is changed: roles belong to the whole cluster."""
    for name in ("ENGINE", "STEPS", "OPERATOR", "READER"):
        monkeypatch.delenv(f"LEADSAGA_{name}_URL", raising=False)


@pytest.fixture
async def old(admin_url: str, record: Record, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A database as the tool of the recorded release made it; `migrate` works on this one."""
    database = f"leadsaga_old_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute(f'CREATE DATABASE "{database}"')
        monkeypatch.setenv("LEADSAGA_DATABASE_URL", named(admin_url, database))
        await migrate(release=release_of(record))
        yield named(admin_url, database)
    finally:
        await admin.close()
        await drop(admin_url, database)


def release_of(record: Record) -> Release:
    text = record.schema.read_text(encoding="utf-8")
    return Release(schema=Script(version=SCHEMA, name="schema.sql", text=text))


async def connected(url: str) -> Any:
    """As administrator, to whom row-level security does not apply."""
    connection = await asyncpg.connect(url, server_settings=SEARCH_PATH)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    return connection


async def fill(connection: Any, record: Record, *tables: str) -> None:
    """With the recorded rows of these tables, or of all, to the letter: what triggers do, they have done."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table, rows in record.read("rows").items():
            if rows and (not tables or table in tables):
                columns = ", ".join(rows[0])
                await connection.execute(
                    f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
                    f" SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1)",
                    rows,
                )


async def until_blocked(connection: Any) -> None:
    """Returns when somebody waits for a lock in this database."""
    query = """
        SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)
    """
    async with asyncio.timeout(20):
        while not await connection.fetchval(query):
            await asyncio.sleep(0.02)
