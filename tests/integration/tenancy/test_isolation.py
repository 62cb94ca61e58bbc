"""Tenants are kept apart by the database itself: every attempt to cross is refused."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.kit.commands import add_drafts
from tests.kit.roles import as_role
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

ROLES = ("leadsaga_engine", "leadsaga_steps", "leadsaga_operator", "leadsaga_reader")

TENANT_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, o.rolname AS owner,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
       has_table_privilege('leadsaga_steps', c.oid, 'SELECT') AS seen_by_steps
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
     JOIN pg_roles o ON o.oid = c.relowner
WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""

ACROSS_TENANTS = {"work_due"}
"""Ids and due times only: the one table whose rows steps find, and put off, for all tenants."""

FILL = """
INSERT INTO discord_webhooks (tenant_id, url) VALUES ('{tenant}', 'https://discord.com/api/webhooks/1/x');
INSERT INTO effects (tenant_id, saga_id, step, direction)
    VALUES ('{tenant}', '{saga}', 'reserve_quota', 'do');
INSERT INTO quota_periods (tenant_id, period_start) VALUES ('{tenant}', '2027-01-01');
INSERT INTO holds (tenant_id, saga_id, period_start, leads) VALUES ('{tenant}', '{saga}', '2027-01-01', 1);
INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, model, outcome, started_at, seconds)
    VALUES ('{tenant}', gen_random_uuid(), '{saga}', 1, 1, 'm', 'answered', now(), 1);
INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency, event_name,
                    period_start)
    VALUES ('{tenant}', gen_random_uuid(), '{saga}', 'r', 'usage', 1, 1, 'eur', 'leads_delivered',
            '2027-01-01');
INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start, value)
    VALUES ('{tenant}', gen_random_uuid(), 'i', 'c', 'leads_delivered', now(), '2027-01-01', 1);
INSERT INTO carriers (tenant_id, ledger_id, intent_id)
    SELECT tenant_id, ledger_id, intent_id FROM ledger JOIN intents USING (tenant_id)
    WHERE tenant_id = '{tenant}';
INSERT INTO uncarried (tenant_id, ledger_id) SELECT tenant_id, ledger_id FROM ledger
    WHERE tenant_id = '{tenant}';
INSERT INTO notices (tenant_id, notice_id, saga_id, event, title, body)
    VALUES ('{tenant}', gen_random_uuid(), '{saga}', 'failed', 't', 'b');
"""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    """Two tenants, each with a row in every table that steps see."""
    async with tenants_at_work(database_url) as world:
        for tenant_id in ("acme", "globex"):
            await world.tenant(tenant_id)
            saga_id = await world.saga(tenant_id)
            await world.admin.execute(FILL.format(tenant=tenant_id, saga=saga_id))
            async with world.database.transaction(tenant_id) as connection:
                await add_drafts(connection, saga_id, 1)
        yield world


async def tables(world: TenantsAtWork) -> list[Any]:
    found: list[Any] = await world.admin.fetch(TENANT_TABLES)
    assert len(found) >= 19, "the catalogue was read"
    return found


async def content(world: TenantsAtWork) -> list[str]:
    return [
        table["name"] for table in await tables(world)
        if table["seen_by_steps"] and table["name"] not in ACROSS_TENANTS
    ]  # fmt: skip


async def outcome_of(world: TenantsAtWork, tenant_id: str | None, statement: str) -> str:
    """What a statement of the steps comes to: how many rows it touched, or the class of its refusal."""
    try:
        async with world.database.transaction(tenant_id) as connection:
            return str(await connection.execute(statement)).rpartition(" ")[2]
    except asyncpg.PostgresError as error:
        return type(error).__name__


async def loose(world: TenantsAtWork) -> list[str]:
    return [
        table["name"] for table in await tables(world)
        if not (table["enabled"] and table["forced"] and table["policies"])
    ]  # fmt: skip


async def test_every_table_with_tenants_forces_row_level_security_and_has_a_policy(world):
    assert [] == await loose(world)


@pytest.mark.parametrize(
    "mistake",
    [
        "ALTER TABLE leads NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE leads DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE leadsaga.forgotten (tenant_id text)",
    ],
)
async def test_a_table_whose_protection_was_forgotten_would_be_noticed(world, mistake):
    await world.admin.execute(mistake)
    assert 1 == len(await loose(world))


async def test_no_policy_of_the_steps_lets_all_tenants_through_except_for_due_times(world):
    query = """
    SELECT DISTINCT tablename FROM pg_policies
    WHERE schemaname = 'leadsaga' AND 'leadsaga_steps' = ANY(roles) AND coalesce(qual, 'true') = 'true'
    """
    open_to_steps = {row["tablename"] for row in await world.admin.fetch(query)}
    assert ACROSS_TENANTS | {"audit"} == open_to_steps
    assert not await world.admin.fetchval("SELECT has_table_privilege('leadsaga_steps', 'audit', 'SELECT')")


async def test_no_role_that_runs_owns_a_table_or_may_go_round_the_policies(world):
    query = """
    SELECT rolname FROM pg_roles r WHERE rolname = ANY($1::text[])
    AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR NOT rolcanlogin
         OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid))
    """
    assert [] == await world.admin.fetch(query, list(ROLES))
    assert {"leadsaga_owner"} == {table["owner"] for table in await tables(world)}
    assert not await world.admin.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'leadsaga_owner'")


async def test_each_tenant_has_rows_to_protect_in_every_table_that_steps_see(world):
    for table in await content(world):
        rows = await world.admin.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
        assert {"acme", "globex"} == {row["tenant_id"] for row in rows}, table


async def test_a_step_reads_the_rows_of_its_tenant_only_and_none_without_one(world):
    for table in await content(world):
        for tenant_id in ("acme", "globex", None):
            async with world.database.transaction(tenant_id) as connection:
                rows = await connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
            assert ([tenant_id] if tenant_id else []) == [row["tenant_id"] for row in rows], table


@pytest.mark.parametrize("tenant_id", ["acme", None])
async def test_a_step_cannot_change_or_remove_what_is_not_its_tenants(world, tenant_id):
    harmless = {"0", "InsufficientPrivilegeError"}
    for table in await content(world):
        before = await world.admin.fetch(f"SELECT {table}::text FROM {table} WHERE tenant_id = 'globex'")
        column = "reason" if table == "ledger" else "tenant_id"
        for statement in (
            f"UPDATE {table} SET {column} = {column} WHERE tenant_id = 'globex'",
            f"UPDATE {table} SET tenant_id = 'acme' WHERE tenant_id = 'globex'",
            f"DELETE FROM {table} WHERE tenant_id = 'globex'",
            f"SELECT FROM {table} WHERE tenant_id = 'globex' FOR UPDATE",
        ):
            assert await outcome_of(world, tenant_id, statement) in harmless, statement
        after = await world.admin.fetch(f"SELECT {table}::text FROM {table} WHERE tenant_id = 'globex'")
        assert before == after, table


@pytest.mark.parametrize("tenant_id", ["acme", None])
async def test_a_step_cannot_add_or_give_away_rows_to_another_tenant(world, tenant_id):
    for table in await content(world):
        if table == "tenants":
            continue
        copy = f"INSERT INTO {table} SELECT (jsonb_populate_record(null::{table}, to_jsonb(t) || "
        copy += f"""'{{"tenant_id": "globex"}}')).* FROM (SELECT (r).* FROM (SELECT '{{}}'::jsonb) x,
                    jsonb_populate_record(null::{table}, '{{}}') AS r) AS t"""
        assert "InsufficientPrivilegeError" == await outcome_of(world, tenant_id, copy), table
        if tenant_id and table != "discord_webhooks":  # steps add none of these
            own = copy.replace("globex", tenant_id)
            assert "NotNullViolationError" == await outcome_of(world, tenant_id, own), (
                "a policy refused, no grant"
            )
        gift = f"UPDATE {table} SET tenant_id = 'globex'"
        allowed = {"InsufficientPrivilegeError"} if tenant_id else {"0", "InsufficientPrivilegeError"}
        assert await outcome_of(world, tenant_id, gift) in allowed, table


ADD_WORK = "INSERT INTO work_due (kind, tenant_id, due_at) VALUES ('{kind}', '{tenant}', now())"


@pytest.mark.parametrize("tenant_id", ["acme", None])
async def test_work_that_is_due_is_found_and_put_off_for_all_and_added_or_removed_for_ones_own(
    world, tenant_id
):
    await world.admin.execute(ADD_WORK.format(kind="flush", tenant="globex"))
    others = "WHERE tenant_id = 'globex'"
    refused = "InsufficientPrivilegeError"

    assert "1" == await outcome_of(world, tenant_id, f"SELECT FROM work_due {others}")
    assert "1" == await outcome_of(world, tenant_id, f"UPDATE work_due SET due_at = now() {others}")
    assert "0" == await outcome_of(world, tenant_id, f"DELETE FROM work_due {others}")
    assert refused == await outcome_of(world, tenant_id, f"UPDATE work_due SET tenant_id = 'acme' {others}")
    assert refused == await outcome_of(world, tenant_id, f"UPDATE work_due SET kind = 'notices' {others}")
    assert refused == await outcome_of(world, tenant_id, ADD_WORK.format(kind="notices", tenant="globex"))
    own = ADD_WORK.format(kind="notices", tenant="acme")
    assert ("1" if tenant_id else refused) == await outcome_of(world, tenant_id, own)
    removed = await outcome_of(world, tenant_id, "DELETE FROM work_due WHERE tenant_id = 'acme'")
    assert ("1" if tenant_id else "0") == removed


@pytest.mark.parametrize("role", ["leadsaga_engine"])
async def test_the_engine_reads_nothing_of_what_tenants_were_delivered_or_billed(world, database_url, role):
    engine = await asyncpg.connect(
        as_role(database_url, role), server_settings={"search_path": "leadsaga", "leadsaga.tenant_id": "acme"}
    )
    try:
        for table in set(await content(world)) - {"tenants"}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await engine.fetch(f"SELECT FROM {table}")
    finally:
        await engine.close()


async def test_the_steps_read_no_saga_log_request_or_order(world):
    for table in ("sagas", "saga_log", "requests", "orders", "events_out", "dead_letters", "audit"):
        found = await outcome_of(world, "acme", f"SELECT FROM {table}")
        assert "InsufficientPrivilegeError" == found, table


async def test_a_row_cannot_point_at_a_saga_of_another_tenant(world):
    foreign = await world.admin.fetchval("SELECT saga_id FROM sagas WHERE tenant_id = 'globex'")
    statement = (
        f"INSERT INTO effects (tenant_id, saga_id, step, direction) VALUES ('acme', '{foreign}', 's', 'do')"
    )
    assert "ForeignKeyViolationError" == await outcome_of(world, "acme", statement)


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_a_pooled_connection_forgets_its_tenant_with_the_transaction(world, ending):
    for _ in range(20):
        try:
            async with world.database.transaction("acme") as connection:
                assert 1 == await connection.fetchval("SELECT count(*) FROM leads")
                if ending == "rollback":
                    await connection.execute("SELECT 1 / 0")
        except asyncpg.DivisionByZeroError:
            pass
        async with world.database.transaction() as connection:
            assert None is await connection.fetchval("SELECT current_tenant()")
            assert 0 == await connection.fetchval("SELECT count(*) FROM leads")
