"""A process starts on the schema that its release needs and on newer ones; else it says what is wrong."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from contracts.process.postgres import Database
from contracts.process.schema import NEEDED, expect_schema
from contracts.process.settings import BadSettings
from orchestrator.operate.migrate import migrate
from orchestrator.operate.migrations import this_release
from tests.integration.versions.conftest import SEARCH_PATH
from tests.kit.roles import as_role
from tests.kit.sandbox import REPOSITORY


@pytest.fixture
async def database(old: str) -> AsyncIterator[Database]:
    """Of the older release, seen by a step."""
    pool = asyncpg.create_pool(
        as_role(old, "leadsaga_steps"), min_size=1, max_size=1, server_settings=SEARCH_PATH
    )
    async with pool:
        yield Database(pool)


def test_this_release_needs_what_its_migrations_lead_to() -> None:
    assert max(script.version for script in this_release().scripts) == NEEDED


@pytest.mark.services
async def test_an_older_schema_is_refused_and_a_migrated_one_is_not(database: Database) -> None:
    older = "the database has schema version 1, this release needs"
    with pytest.raises(BadSettings) as refused:
        await expect_schema(database, asyncio.Event())
    assert older in str(refused.value)
    await migrate()
    await expect_schema(database, asyncio.Event())


@pytest.mark.services
async def test_a_newer_schema_is_welcome(old: str, database: Database) -> None:
    admin = await asyncpg.connect(old)
    newer = "INSERT INTO leadsaga.schema_versions (version, name, sha256) VALUES ($1, 'later.sql', '')"
    await admin.execute(newer, NEEDED + 5)
    await admin.close()
    await expect_schema(database, asyncio.Event())


@pytest.mark.services
async def test_a_database_without_a_schema_is_refused(admin_url: str) -> None:
    async with asyncpg.create_pool(admin_url, min_size=1, max_size=1, server_settings=SEARCH_PATH) as pool:
        with pytest.raises(BadSettings) as refused:
            await expect_schema(Database(pool), asyncio.Event())
    assert "no schema of ours" in str(refused.value)


@pytest.mark.services
async def test_a_user_whom_row_level_security_does_not_bind_is_refused(old: str) -> None:
    await migrate()
    async with asyncpg.create_pool(old, min_size=1, max_size=1, server_settings=SEARCH_PATH) as pool:
        with pytest.raises(BadSettings) as refused:
            await expect_schema(Database(pool), asyncio.Event())
    assert "row-level security does not bind the database user" in str(refused.value)


@pytest.mark.services
@pytest.mark.parametrize("program", [["orchestrator", "run", "orchestrator"], ["steps", "record_usage"]])
async def test_a_process_ends_with_one_line_when_the_schema_is_too_old(
    old: str, amqp_url: str, program: list[str]
) -> None:
    urls = {f"LEADSAGA_{role.upper()}_URL": as_role(old, f"leadsaga_{role}") for role in ("engine", "steps")}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *program),
        cwd=REPOSITORY,
        env={**os.environ, **urls, "LEADSAGA_AMQP_URL": amqp_url, "LEADSAGA_QUEUE_PREFIX": "never."},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await started.communicate()
    lines = said.decode().splitlines()
    assert (BadSettings.EXIT_CODE, 1) == (started.returncode, len(lines)), lines
    assert "run `leadsaga migrate` first" in lines[0]
