"""The audit is a chain that the database makes: nobody forges a link, and nothing is changed in it unseen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from contracts.process.postgres import Database, connect
from contracts.process.settings import PoolSettings
from orchestrator.operate import audit
from orchestrator.operate.chain import Witness, verified, verify
from tests.integration.operate.conftest import Tool
from tests.kit.roles import as_role
from tests.kit.store_postgres import PostgresWorld

WRITERS = ("leadsaga_engine", "leadsaga_steps", "leadsaga_operator")
INSERT = "INSERT INTO audit (actor, action, tenant_id) VALUES ('orchestrator', $1, 'acme')"
ROWS = 5


class RolledBack(Exception):
    """Nothing of it stays."""


@pytest.fixture
async def five(operators: Database) -> None:
    """As many rows."""
    for number in range(1, ROWS + 1):
        async with operators.transaction() as connection:
            await audit.record(
                connection,
                actor="ann",
                action=f"look {number}",
                tenant_id="acme",
                reason="a complaint",
                before={"leads": number},
                after={"seen": [None, "\u00fc\u2028", 0.1]},
            )


@asynccontextmanager
async def damaged(world: PostgresWorld, statement: str) -> AsyncIterator[Any]:
    """A transaction after a statement of somebody whom no trigger stops; it is rolled back."""
    with suppress(RolledBack):
        async with world.owner.transaction() as connection:
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statement)
            yield connection
            raise RolledBack


async def test_a_sound_chain_is_clean_and_its_head_is_told(five: None, operator: Tool) -> None:
    ran = await operator("audit", "verify", "--json")
    assert (0, ROWS, []) == (ran.code, ran.json["links"], ran.json["findings"])
    assert ran.json["head"].startswith(f"{ROWS}:")
    shown = await operator("audit", "verify")
    assert (0, True) == (shown.code, "clean" in shown.out)


async def test_an_empty_audit_is_clean(world: PostgresWorld, operator: Tool) -> None:
    ran = await operator("audit", "verify", "--json")
    assert (0, 0) == (ran.code, ran.json["links"])


CHANGES = (
    "actor = 'bob'",
    "action = 'look'",
    "at = at + interval '1 microsecond'",
    "tenant_id = 'blue'",
    "tenant_id = NULL",
    "saga_id = gen_random_uuid()",
    "reason = ''",
    """before = '{"leads": 4}'""",
    "before = NULL",
    """after = '{"seen": []}'""",
    "written_by = 'leadsaga_engine'",
)


async def test_a_changed_row_is_found_whatever_was_changed(five: None, world: PostgresWorld) -> None:
    for change in CHANGES:
        async with damaged(world, f"UPDATE audit SET {change} WHERE action = 'look 3'") as connection:
            found = await verified(connection)
        assert ["row 3 of link 3 was changed or moved, or the link was"] == found.findings, change
        assert not found.clean


async def test_every_column_is_under_the_hash(world: PostgresWorld) -> None:
    columns = await world.owner.pool.fetch(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'leadsaga' AND table_name = 'audit'"
    )
    changed = {change.partition(" ")[0] for change in CHANGES}
    assert {row[0] for row in columns} == changed | {"audit_id"}


DAMAGE = {
    "DELETE FROM audit WHERE audit_id = 2": "row 2 of link 2 was removed",
    "DELETE FROM audit_chain WHERE link = 2; DELETE FROM audit WHERE audit_id = 2": "links 2 to 2 are gone",
    "DELETE FROM audit_chain WHERE link = 1; DELETE FROM audit WHERE audit_id = 1": "links 1 to 1 are gone",
    "DELETE FROM audit_chain WHERE link > 3; DELETE FROM audit WHERE audit_id > 3": "gone from the end",
    "TRUNCATE audit, audit_chain": "links 1 to 5 are gone from the end",
    "DELETE FROM audit_chain WHERE link = 5": "row 5 is in no link",
    "INSERT INTO audit (actor, action) VALUES ('eve', 'nothing')": "row 6 is in no link",
    "UPDATE audit_chain SET hash = sha256('x') WHERE link = 3": "link 3 was changed or moved, or",
    "UPDATE audit_head SET link = 4": "the head says link 4, and the chain ends otherwise at 5",
    "UPDATE audit_head SET hash = sha256('x')": "the head says link 5, and the chain ends otherwise at 5",
    "DELETE FROM audit_head": "the head of the chain is gone",
    (
        "UPDATE audit a SET (action, before) = (b.action, b.before) FROM audit b"
        " WHERE (a.audit_id, b.audit_id) IN ((2, 3), (3, 2))"
    ): "row 2 of link 2 was changed or moved",
    (
        "UPDATE audit_chain SET link = 9 WHERE link = 2; UPDATE audit_chain SET link = 2 WHERE link = 3;"
        "UPDATE audit_chain SET link = 3 WHERE link = 9"
    ): "row 3 of link 2 was changed or moved",
    (
        "CREATE OR REPLACE FUNCTION audit_content(entry audit) RETURNS text RETURN null::text;"
        "UPDATE audit SET actor = 'bob' WHERE audit_id = 2"
    ): "row 2 of link 2 was changed or moved",
}  # fmt: skip
"""What somebody does whom no trigger stops, and what is said of it."""


async def test_what_was_removed_added_or_reordered_is_found(five: None, world: PostgresWorld) -> None:
    for statement, said in DAMAGE.items():
        async with damaged(world, statement) as connection:
            found = await verified(connection)
        assert not found.clean
        assert said in " ".join(found.findings), statement


async def test_damage_is_told_with_an_exit_code(five: None, world: PostgresWorld, operator: Tool) -> None:
    async with world.owner.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE audit SET reason = 'none'")
    ran = await operator("audit", "verify", "--json")
    assert (1, ROWS, ROWS) == (ran.code, ran.json["damage"], len(ran.json["findings"]))
    shown = await operator("audit", "verify")
    assert (1, True) == (shown.code, "damaged in 5 places" in shown.out)


ANEW = """
DO $$
DECLARE head bytea := decode(repeat('00', 32), 'hex'); entry audit;
BEGIN
    DELETE FROM audit_chain WHERE link = 5;
    DELETE FROM audit WHERE audit_id = 5;
    UPDATE audit SET actor = 'bob' WHERE audit_id = 2;
    FOR entry IN SELECT * FROM audit ORDER BY audit_id LOOP
        head := sha256(head || convert_to(audit_content(entry), 'UTF8'));
        UPDATE audit_chain SET hash = head WHERE audit_id = entry.audit_id;
    END LOOP;
    UPDATE audit_head SET link = 4, hash = head;
END $$
"""


async def test_a_chain_that_its_owner_wrote_anew_is_found_by_a_witness(
    five: None, world: PostgresWorld, operator: Tool
) -> None:
    told = (await operator("audit", "verify", "--json")).json["head"]
    assert 0 == (await operator("audit", "verify", "--witness", told)).code
    async with damaged(world, ANEW) as connection:
        assert (await verified(connection)).clean
        found = await verified(connection, Witness.of(told))
        assert ["the witness saw link 5, and the chain ends at 4"] == found.findings
        (said,) = (await verified(connection, Witness.of(f"3:{told[2:]}"))).findings
        assert "written anew" in said
    assert 2 == (await operator("audit", "verify", "--witness", "yesterday")).code


@pytest.fixture(params=WRITERS)
async def writer(request: pytest.FixtureRequest, world: PostgresWorld, database_url: str) -> Any:
    url = as_role(database_url, request.param)
    async with connect(url, PoolSettings(), name="test") as database:
        yield database


async def test_everybody_who_may_add_a_row_makes_a_link_and_is_named_by_the_database(
    world: PostgresWorld, writer: Database, operators: Database
) -> None:
    async with writer.transaction("acme") as connection:
        role = await connection.fetchval("SELECT current_user")
        await connection.execute(INSERT, "one")
        await connection.execute(INSERT, "two")
    assert [role, role] == [row[0] for row in await world.owner.pool.fetch("SELECT written_by FROM audit")]
    assert (2, True) == ((found := await verify(operators)).links, found.clean)


FORGERIES = (
    "INSERT INTO audit (actor, action, tenant_id, at) VALUES ('orchestrator', 'x', 'acme', '2020-01-01')",
    "INSERT INTO audit (actor, action, tenant_id, written_by) VALUES ('orchestrator', 'x', 'acme', 'me')",
    "INSERT INTO audit (audit_id, actor, action) OVERRIDING SYSTEM VALUE VALUES (7, 'orchestrator', 'x')",
    "INSERT INTO audit_chain VALUES (1, 1, sha256('x'))",
    "INSERT INTO audit_head VALUES (true, 9, sha256('x'))",
    "UPDATE audit_head SET link = 9",
    "DELETE FROM audit_head",
    "UPDATE audit_chain SET hash = sha256('x')",
    "DELETE FROM audit_chain",
    "UPDATE audit SET actor = 'bob'",
    "DELETE FROM audit",
    "TRUNCATE audit CASCADE",
    "ALTER TABLE audit DISABLE TRIGGER audit_linked",
    "DROP TRIGGER audit_linked ON audit",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION audit_content(entry audit) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    "CREATE FUNCTION leadsaga.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
)


async def test_nobody_who_may_add_a_row_forges_a_link(writer: Database) -> None:
    for attempt in FORGERIES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with writer.transaction("acme") as connection:
                await connection.execute(attempt)


async def test_a_table_of_the_same_name_does_not_take_the_heads_place(
    writer: Database, operators: Database
) -> None:
    async with writer.transaction("acme") as connection:
        await connection.execute("CREATE TEMP TABLE audit_head (only_one boolean, link bigint, hash bytea)")
        await connection.execute("CREATE TEMP TABLE audit_chain (link bigint, audit_id bigint, hash bytea)")
        await connection.execute("SET LOCAL search_path = pg_temp, leadsaga")
        await connection.execute(INSERT, "one")
    assert (1, True) == ((found := await verify(operators)).links, found.clean)


async def test_what_was_rolled_back_leaves_no_gap(operators: Database) -> None:
    with suppress(RolledBack):
        async with operators.transaction() as connection:
            await connection.execute(INSERT, "never")
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            raise RolledBack
    async with operators.transaction() as connection:
        await connection.execute(INSERT, "once")
    assert (1, True) == ((found := await verify(operators)).links, found.clean)


async def test_many_at_once_make_one_chain(world: PostgresWorld, operators: Database) -> None:
    async def one(number: int) -> None:
        async with operators.transaction() as connection:
            for part in "ab":
                await connection.execute(INSERT, f"{number}{part}")

    looks = [verify(operators) for _ in range(5)]
    *_, first, last = await asyncio.gather(*(one(number) for number in range(50)), *looks)
    assert (True, True) == (first.clean, last.clean)
    found = await verify(operators)
    assert (100, True) == (found.links, found.clean)


async def test_who_has_added_a_row_holds_up_nobody_until_the_end(operators: Database) -> None:
    """The second one is through before the first, which began earlier, has ended."""
    async with asyncio.timeout(20), operators.transaction() as slow:
        await slow.execute(INSERT, "slow")
        async with operators.transaction() as quick:
            await quick.execute(INSERT, "quick")
    order = "SELECT array_agg(action ORDER BY link) FROM audit JOIN audit_chain USING (audit_id)"
    async with operators.transaction() as connection:
        assert ["quick", "slow"] == await connection.fetchval(order)
    assert (await verify(operators)).clean
