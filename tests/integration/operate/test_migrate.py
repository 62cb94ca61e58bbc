"""A database is set up once, brought up file by file, and never taken for what it is not."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from orchestrator.operate.errors import Refused
from orchestrator.operate.migrate import migrate
from orchestrator.operate.migrations import BadRelease, read_release, this_release
from tests.integration.operate.conftest import Tool
from tests.kit.database import ROLES_LOCK, drop, named
from tests.kit.roles import ROLE_PASSWORD, as_role

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "schema.sql"


@pytest.fixture
async def roles_are_ours(admin_url: str) -> AsyncIterator[Any]:
    """Roles belong to the cluster: only one test worker at a time may change them."""
    connection = await asyncpg.connect(admin_url)
    await connection.execute("SELECT pg_advisory_lock($1)", ROLES_LOCK)
    yield connection
    await connection.close()


@pytest.fixture
async def empty(admin_url: str, roles_are_ours: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    for name in ("ENGINE", "STEPS", "OPERATOR", "READER"):
        monkeypatch.delenv(f"LEADSAGA_{name}_URL", raising=False)
    database = f"leadsaga_empty_{secrets.token_hex(4)}"
    await roles_are_ours.execute(f'CREATE DATABASE "{database}"')
    monkeypatch.setenv("LEADSAGA_DATABASE_URL", named(admin_url, database))
    yield named(admin_url, database)
    await drop(admin_url, database)


async def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(record) for record in await connection.fetch(query)]
    finally:
        await connection.close()


VERSIONS = "SELECT version, name, sha256 FROM leadsaga.schema_versions ORDER BY version"


async def test_an_empty_database_gets_the_schema_and_a_second_run_changes_nothing(
    empty: str, tool: Tool
) -> None:
    first = await tool("migrate", "--wait", "--json")
    release = this_release()
    assert (0, [script.name for script in release.scripts]) == (first.code, first.json["applied"])
    recorded = [(script.version, script.name, script.sha256) for script in release.scripts]
    assert recorded == await fetch(empty, VERSIONS)
    second = await tool("migrate")
    assert (0, True) == (second.code, "nothing to apply" in second.out)
    assert recorded == await fetch(empty, VERSIONS)


async def test_two_runs_at_once_apply_the_schema_once(empty: str) -> None:
    done = await asyncio.gather(migrate(), migrate(), migrate())
    assert 1 == sum(bool(each.applied) for each in done)


async def test_two_databases_of_one_cluster_can_be_set_up_at_the_same_moment(
    empty: str, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = as_role(empty, "leadsaga_engine")
    monkeypatch.setenv("LEADSAGA_ENGINE_URL", engine)
    other = f"{urlsplit(empty).path[1:]}_2"
    await fetch(admin_url, f'CREATE DATABASE "{other}"')
    try:
        first = asyncio.create_task(migrate())
        await asyncio.sleep(0)  # the settings of the first are read before they change
        monkeypatch.setenv("LEADSAGA_DATABASE_URL", named(admin_url, other))
        both = await asyncio.gather(first, migrate())
    finally:
        await drop(admin_url, other)
    assert [["leadsaga_engine"]] * 2 == [each.passwords for each in both]
    assert all(each.applied for each in both)


async def test_a_password_in_the_url_of_a_role_lets_it_in(
    empty: str, tool: Tool, monkeypatch: pytest.MonkeyPatch, roles_are_ours: Any
) -> None:
    url = as_role(empty, "leadsaga_reader")
    monkeypatch.setenv("LEADSAGA_READER_URL", url)
    await tool("migrate")
    await roles_are_ours.execute("ALTER ROLE leadsaga_reader PASSWORD 'another'")
    ran = await tool("migrate")
    assert (0, True) == (ran.code, "passwords set: leadsaga_reader" in ran.out)
    assert ROLE_PASSWORD not in ran.out + ran.err
    assert [("leadsaga_reader",)] == await fetch(url, "SELECT current_user::text")
    query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'leadsaga_reader'"
    assert (await roles_are_ours.fetchval(query)).startswith("SCRAM-SHA-256$4096:")


async def test_the_url_of_another_user_sets_no_password(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = urlsplit(empty)
    address = parts.netloc.rpartition("@")[2]
    monkeypatch.setenv("LEADSAGA_ENGINE_URL", urlunsplit(parts._replace(netloc=f"somebody:word@{address}")))
    assert [] == (await migrate()).passwords


async def test_a_database_with_data_gets_the_numbered_files_it_has_not_had(
    empty: str, tmp_path: Path
) -> None:
    await migrate(release=read_release(SCHEMA, tmp_path))
    changed = tmp_path / "schema.sql"
    changed.write_text(SCHEMA.read_text() + "-- and a table\n")
    (tmp_path / "0002_colours.sql").write_text("CREATE TABLE colours (name text PRIMARY KEY);")
    (tmp_path / "0003_red.sql").write_text("INSERT INTO colours VALUES ('red');")
    release = read_release(changed, tmp_path)
    assert ["0002_colours.sql", "0003_red.sql"] == (await migrate(release=release)).applied
    assert [] == (await migrate(release=release)).applied
    assert [("red",)] == await fetch(empty, "SELECT name FROM leadsaga.colours")
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'colours'"
    assert [("leadsaga_owner",)] == await fetch(empty, owner)
    assert [each.sha256 for each in release.scripts] == [row[2] for row in await fetch(empty, VERSIONS)]


async def test_a_file_that_fails_leaves_nothing_behind(empty: str, tmp_path: Path) -> None:
    await migrate(release=read_release(SCHEMA, tmp_path))
    (tmp_path / "0002_half.sql").write_text("CREATE TABLE half (); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(release=read_release(SCHEMA, tmp_path))
    assert [(None,)] == await fetch(empty, "SELECT to_regclass('leadsaga.half')::text")
    assert [1] == [row[0] for row in await fetch(empty, VERSIONS)]


async def test_an_applied_file_that_was_changed_is_refused(empty: str, tmp_path: Path) -> None:
    migration = tmp_path / "0002_colours.sql"
    migration.write_text("SELECT 1;")
    await migrate(release=read_release(SCHEMA, tmp_path))
    migration.write_text("SELECT 2;")
    with pytest.raises(Refused, match=r"0002_colours\.sql was changed"):
        await migrate(release=read_release(SCHEMA, tmp_path))


async def test_a_schema_that_was_changed_without_a_numbered_file_is_refused(
    empty: str, tmp_path: Path
) -> None:
    await migrate(release=read_release(SCHEMA, tmp_path))
    changed = tmp_path / "schema.sql"
    changed.write_text(SCHEMA.read_text() + "-- something new\n")
    with pytest.raises(Refused, match=r"schema\.sql was changed"):
        await migrate(release=read_release(changed, tmp_path))


async def test_a_database_of_a_newer_release_is_refused(empty: str, tmp_path: Path) -> None:
    newer = tmp_path / "0002_newer.sql"
    newer.write_text("SELECT 1;")
    await migrate(release=read_release(SCHEMA, tmp_path))
    newer.unlink()
    with pytest.raises(Refused, match="newer release"):
        await migrate(release=read_release(SCHEMA, tmp_path))


async def test_a_schema_that_was_applied_by_hand_is_refused(
    database_url: str, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_DATABASE_URL", database_url)
    ran = await tool("migrate")
    assert (1, True) == (ran.code, "applied by hand" in ran.err)


def test_numbered_files_have_no_gap(tmp_path: Path) -> None:
    (tmp_path / "0003_too_far.sql").write_text("")
    with pytest.raises(BadRelease, match="0002_what_it_does"):
        read_release(SCHEMA, tmp_path)
