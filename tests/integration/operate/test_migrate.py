"""A database is set up once, brought up file by file, and never taken for what it is not."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from orchestrator.operate.errors import Refused
from orchestrator.operate.migrate import migrate
from orchestrator.operate.migrations import BadRelease, read_release, this_release
from orchestrator.operate.role_passwords import scram_verifier, set_passwords
from tests.integration.operate.conftest import Tool
from tests.kit.database import drop, named

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "schema.sql"


@pytest.fixture(autouse=True)
def no_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """No URL of a role, so that no password is changed: roles belong to the whole cluster."""
    for name in ("ENGINE", "STEPS", "OPERATOR", "READER"):
        monkeypatch.delenv(f"LEADSAGA_{name}_URL", raising=False)


@pytest.fixture
async def empty(admin_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A database without anything in it."""
    database = f"leadsaga_empty_{secrets.token_hex(4)}"
    await fetch(admin_url, f'CREATE DATABASE "{database}"')
    monkeypatch.setenv("LEADSAGA_DATABASE_URL", named(admin_url, database))
    yield named(admin_url, database)
    await drop(admin_url, database)


@pytest.fixture
async def role(admin_url: str) -> AsyncIterator[str]:
    """Of this test's own: the real ones belong to the whole cluster."""
    name = f"leadsaga_test_{secrets.token_hex(4)}"
    await fetch(admin_url, f"CREATE ROLE {name} LOGIN")
    yield name
    await fetch(admin_url, f"DROP ROLE {name}")


async def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(record) for record in await connection.fetch(query)]
    finally:
        await connection.close()


PASSWORD = "p@ss 'word'"
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
    other = f"{urlsplit(empty).path[1:]}_2"
    await fetch(admin_url, f'CREATE DATABASE "{other}"')
    try:
        first = asyncio.create_task(migrate())
        await asyncio.sleep(0)  # the settings of the first are read before they change
        monkeypatch.setenv("LEADSAGA_DATABASE_URL", named(admin_url, other))
        assert all(each.applied for each in await asyncio.gather(first, migrate()))
    finally:
        await drop(admin_url, other)


async def test_a_password_that_was_set_lets_the_role_in_and_is_kept_as_a_verifier(
    admin_url: str, role: str
) -> None:
    connections = [await asyncpg.connect(admin_url) for _ in range(4)]
    # All at once: the server refuses some of them at first.
    await asyncio.gather(*(set_passwords(each, {role: PASSWORD}) for each in connections))
    query = "SELECT rolpassword FROM pg_authid WHERE rolname = $1"
    kept = await connections[0].fetchval(query, role)
    salt = base64.b64decode(kept.split("$")[1].split(":")[1])
    assert scram_verifier(PASSWORD, salt) == kept
    await asyncio.gather(*(each.close() for each in connections))
    address = urlsplit(admin_url).netloc.rpartition("@")[2]
    url = urlunsplit(urlsplit(admin_url)._replace(netloc=f"{role}:{quote(PASSWORD)}@{address}"))
    assert [(role,)] == await fetch(url, "SELECT current_user::text")


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
    await fetch(database_url, "DELETE FROM leadsaga.schema_versions")
    ran = await tool("migrate")
    assert (1, True) == (ran.code, "applied by hand" in ran.err)


def test_numbered_files_have_no_gap(tmp_path: Path) -> None:
    (tmp_path / "0003_too_far.sql").write_text("")
    with pytest.raises(BadRelease, match="0002_what_it_does"):
        read_release(SCHEMA, tmp_path)
