"""The database of an older release becomes that of this one, and both can work on it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from contracts.ids import ADMINISTRATION
from orchestrator.operate.migrate import migrate
from orchestrator.operate.migrations import Script, this_release
from tests.golden import statements
from tests.golden.kept import Record
from tests.integration.versions.catalogue import PARTS, catalogue
from tests.integration.versions.conftest import connected, fill, until_blocked
from tests.integration.versions.replaying import PREPARABLE, Replaying

pytestmark = pytest.mark.services

GIVEN_FROM_OUTSIDE = ("plans", "tenants", "discord_webhooks")
"""What the recorded processes found, and did not write themselves."""


@pytest.fixture
async def connection(old: str) -> AsyncIterator[Any]:
    connection = await connected(old)
    yield connection
    await connection.close()


@pytest.fixture
async def new(database_url: str) -> AsyncIterator[Any]:
    """A fresh install of this release."""
    connection = await connected(database_url)
    yield connection
    await connection.close()


async def test_migrations_lead_to_the_schema_of_a_fresh_install(connection: Any, new: Any) -> None:
    await migrate()
    migrated, fresh = await catalogue(connection), await catalogue(new)
    for part in PARTS:
        assert fresh[part] == migrated[part]


async def test_a_database_that_was_migrated_is_known_as_this_release(old: str) -> None:
    applied = (await migrate()).applied
    assert [script.name for script in this_release().migrations] == applied
    assert [] == (await migrate()).applied


async def test_what_the_older_release_stored_is_kept_to_the_letter(connection: Any, record: Record) -> None:
    await fill(connection, record)
    await migrate()
    for table, rows in record.read("rows").items():
        found = [row["row"] for row in await connection.fetch(f"SELECT to_jsonb(t) AS row FROM {table} t")]
        kept = [row for row in found if ADMINISTRATION not in {row.get("tenant_id"), row.get("plan_id")}]
        for row in rows:
            assert any(row.items() <= each.items() for each in kept), row
        assert len(rows) == len(kept)


async def test_the_older_release_goes_on_while_the_database_is_migrated(
    old: str, connection: Any, record: Record
) -> None:
    """What is under way holds the migration up, what comes after it waits for it, and nothing fails."""
    await fill(connection, record, *GIVEN_FROM_OUTSIDE)
    at_work = Replaying(connection, record)
    held = at_work.touching("dead_letters", "orders")
    for number in range(held):
        await at_work.transaction(number)
    watcher = await connected(old)
    migrating = asyncio.create_task(migrate())
    await at_work.transaction(held, then=until_blocked(watcher))
    for number in range(held + 1, len(at_work.transactions)):
        await at_work.transaction(number)
    applied = (await migrating).applied
    await watcher.close()
    assert [script.name for script in this_release().migrations] == applied
    await _is_as_recorded(connection, record)


async def test_everything_that_the_older_release_did_it_can_do_on_the_new_schema(
    connection: Any, record: Record
) -> None:
    await migrate()
    await _works_again(connection, record)
    await _is_as_recorded(connection, record)


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE saga_log ADD COLUMN written_by text NOT NULL",
        "ALTER TABLE effects RENAME COLUMN outside TO outside_ids",
        "ALTER TABLE holds ADD CHECK (state <> 'settled')",
        "REVOKE DELETE ON leads FROM leadsaga_steps",
        "DROP POLICY steps_add ON work_due",
    ],
)
async def test_a_migration_that_the_older_release_cannot_live_with_is_noticed(
    connection: Any, record: Record, harm: str
) -> None:
    release = this_release()
    number = len(release.scripts) + 1
    script = Script(version=number, name=f"{number:04}_harm.sql", text=harm)
    await migrate(release=replace(release, migrations=(*release.migrations, script)))
    with pytest.raises(asyncpg.PostgresError):
        await _works_again(connection, record)


async def _works_again(connection: Any, record: Record) -> None:
    await fill(connection, record, *GIVEN_FROM_OUTSIDE)
    at_work = Replaying(connection, record)
    for number in range(len(at_work.transactions)):
        await at_work.transaction(number)


async def _is_as_recorded(connection: Any, record: Record) -> None:
    rows = record.read("rows")
    for table, columns in {
        "sagas": ("saga_id", "status", "entries"),
        "saga_log": ("saga_id", "seq", "kind"),
        "effects": ("saga_id", "step", "direction", "state", "answered"),
        "ledger": ("saga_id", "kind", "leads"),
        "dead_letters": ("queue", "message_id", "error"),
    }.items():
        found = await connection.fetch(f"SELECT to_jsonb(t) AS row FROM {table} t")
        done = {tuple(row["row"][column] for column in columns) for row in found}
        assert done == {tuple(row[column] for column in columns) for row in rows[table]}, table


async def test_every_statement_of_the_older_release_is_permitted_on_the_new_schema(
    connection: Any, record: Record
) -> None:
    await migrate()
    await _plan(connection, record.read("statements"))


async def test_every_statement_of_this_release_is_permitted_on_its_schema(new: Any) -> None:
    await _plan(new, statements.collected())


async def _plan(connection: Any, wanted: list[dict[str, str]]) -> None:
    """Parses each, plans it and checks its rights as its role, and does nothing."""
    assert len({each["role"] for each in wanted}) == 3
    for number, each in enumerate(wanted):
        if not PREPARABLE.match(each["sql"].strip()):
            continue
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {each['role']}")
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE p{number} AS {each['sql']}")
            types = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1"
            count = await connection.fetchval(types, f"p{number}")
            given = f"({', '.join(['NULL'] * count)})" if count else ""
            await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE p{number} {given}")


async def test_a_statement_that_may_not_be_is_noticed(new: Any) -> None:
    forbidden = {"role": "leadsaga_engine", "name": "leads", "sql": "SELECT company FROM leads"}
    others = [
        {"role": role, "name": "", "sql": "SELECT 1"} for role in ("leadsaga_steps", "leadsaga_operator")
    ]
    with pytest.raises(Exception, match="permission denied for table leads"):
        await _plan(new, [*others, forbidden])


def test_every_statement_that_a_recorded_run_executed_is_among_its_statements(record: Record) -> None:
    known = {each["sql"].strip() for each in record.read("statements")}
    assert set() == {sql.strip() for sql in record.read("run")["statements"]} - known
