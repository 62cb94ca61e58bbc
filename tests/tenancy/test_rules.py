"""What must hold of the schema whatever its tables are, by its catalogue; and that each rule notices."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.tenancy.rules import RULES, breaks, broken

pytestmark = pytest.mark.services


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    yield connection
    await connection.close()


async def test_the_schema_breaks_no_rule(admin: Any) -> None:
    assert [] == await broken(admin)


MISTAKES = {
    "a table is protected, or is listed as shared": "CREATE TABLE forgotten (tenant_id text)",
    "a protected table has a policy": (
        "CREATE TABLE closed (id int); ALTER TABLE closed ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE closed FORCE ROW LEVEL SECURITY"
    ),
    "a shared table names no tenant": "ALTER TABLE plans ADD COLUMN tenant_id text",
    "the owner owns all, and cannot log in": "CREATE TABLE mine (id int)",
    "no role that runs is anything but itself": "ALTER ROLE leadsaga_reader BYPASSRLS",
    "nobody may do what no policy stops": "GRANT TRUNCATE ON leads TO leadsaga_steps",
    "nothing is granted to everybody, and nobody may pass on what was granted": (
        "GRANT SELECT ON leads TO PUBLIC"
    ),
    "a policy is for roles of ours, permits, and says what it means": (
        "CREATE POLICY anybody ON leads FOR SELECT USING (tenant_id = current_tenant())"
    ),
    "a key of a tenant's table has the tenant in it": "CREATE UNIQUE INDEX of_saga ON notices (saga_id)",
    "a reference between tenants' tables goes from tenant to the same tenant": (
        "CREATE UNIQUE INDEX of_intent ON intents (intent_id);"
        "ALTER TABLE carriers ADD FOREIGN KEY (intent_id) REFERENCES intents (intent_id)"
    ),
    "a view asks as whoever asks it, and none keeps a copy": "CREATE VIEW all_leads AS SELECT * FROM leads",
    "a function's search path is pinned, temporary tables last": (
        "CREATE FUNCTION all_leads() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT count(*) FROM leads'"
    ),
    "words are text with a CHECK, never an enum": "CREATE TYPE colour AS ENUM ('red')",
    "no tenant is set for a role or a database": "ALTER ROLE leadsaga_steps SET leadsaga.tenant_id = 'acme'",
}

NEEDS_NO_MISTAKE = {"all four roles exist"}
"""The schema itself cannot be made without."""


def test_each_rule_is_tried() -> None:
    assert set(RULES) == set(MISTAKES) | NEEDS_NO_MISTAKE


@pytest.mark.parametrize("rule", MISTAKES)
async def test_a_mistake_breaks_its_rule(admin: Any, rule: str) -> None:
    """Taken back whatever happens: roles belong to the whole cluster, and other tests work with them."""
    unit = admin.transaction()
    await unit.start()
    try:
        await admin.execute(MISTAKES[rule])
        assert 1 <= len(await breaks(admin, rule))
    finally:
        await unit.rollback()


ESCAPES = (
    "SET ROLE leadsaga_owner",
    "SET ROLE leadsaga_engine",
    "SET row_security = off; SELECT FROM leads",
    "ALTER TABLE leads DISABLE ROW LEVEL SECURITY",
    "DROP POLICY steps ON leads",
    "ALTER ROLE leadsaga_steps BYPASSRLS",
    "CREATE TABLE leadsaga.mine (id int)",
    "TRUNCATE leads",
    "COPY leads TO PROGRAM 'cat'",
    "CREATE FUNCTION leadsaga.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
)


async def test_a_process_cannot_do_more_than_its_role(admin: Any) -> None:
    """As if it had logged in: there is no way back to anybody else."""
    refused = []
    for statement in ESCAPES:
        unit = admin.transaction()
        await unit.start()
        try:
            await admin.execute("SET LOCAL SESSION AUTHORIZATION leadsaga_steps")
            await admin.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            refused.append(statement)
        finally:
            await unit.rollback()
    assert list(ESCAPES) == refused


async def test_a_temporary_table_takes_the_place_of_none_of_ours(admin: Any) -> None:
    """The trigger that bounds reversals reads the ledger, whatever a session calls by that name."""
    await admin.execute("CREATE TEMP TABLE ledger (LIKE leadsaga.ledger)")
    await admin.execute(
        "INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('p', 1, 'eur', 9);"
        "INSERT INTO tenants (tenant_id, name, plan_id) VALUES ('acme', 'Acme', 'p');"
        "INSERT INTO pg_temp.ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price,"
        " currency, event_name, period_start, occurred_at, actor, reason, billing)"
        " VALUES ('acme', gen_random_uuid(), gen_random_uuid(), 'r', 'usage', 9, 1, 'eur',"
        " 'leads_delivered', now(), now(), '', '', 'metered')"
    )
    forged = await admin.fetchval("SELECT ledger_id FROM pg_temp.ledger")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="a reversal points at a usage row"):
        await admin.execute(
            "INSERT INTO leadsaga.ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads,"
            " original_id, unit_price, currency, event_name, period_start) VALUES ('acme', gen_random_uuid(),"
            " gen_random_uuid(), 'r', 'reversal', -9, $1, 1, 'eur', 'leads_delivered', now())",
            forged,
        )
