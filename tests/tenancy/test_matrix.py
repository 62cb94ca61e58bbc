"""Who reaches which rows, made from the catalogue and tried as each role; and that the trial would notice."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.tenancy import catalogue
from tests.tenancy.conditions import CONDITIONS, unmet
from tests.tenancy.laboratory import ACME, BadProbe, Laboratory, Probe, laboratory
from tests.tenancy.matrix import EVERYBODY, cells, misgranted, run
from tests.tenancy.mutants import Mutant, conjuncts, mutants, seen, seen_after

pytestmark = pytest.mark.services


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Laboratory]:
    async with laboratory(database_url) as found:
        yield found


async def test_every_role_reaches_the_rows_that_it_may_and_no_others(bench: Laboratory) -> None:
    wanted = cells(bench.tables)
    assert {table.name for table in bench.tables} == {cell.table.name for cell in wanted}
    assert [] == [str(each) for each in await run(bench, wanted) if each.wrong]
    assert [] == misgranted(bench.tables)


async def test_what_policies_ask_beyond_the_tenant_holds(bench: Laboratory) -> None:
    assert [] == await unmet(bench)


async def test_the_matrix_notices_each_policy_that_is_dropped_or_weakened(bench: Laboratory) -> None:
    all_of_them = [mutant for table in bench.tables for mutant in mutants(table)]
    policies = [policy for table in bench.tables for policy in table.policies]
    assert len(policies) + 2 * len(bench.tables) < len(all_of_them)
    assert [] == [mutant for mutant in all_of_them if not await seen(bench, mutant)]


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("leads", "CREATE POLICY support ON leads FOR SELECT TO leadsaga_operator USING (true)"),
        ("sagas", "GRANT DELETE ON sagas TO leadsaga_engine; DROP POLICY engine ON sagas"),
        ("ledger", "ALTER POLICY steps ON ledger RENAME TO s; DROP POLICY s ON ledger"),
        ("work_due", "ALTER POLICY steps_remove ON work_due USING (true)"),
    ],
)
async def test_the_matrix_notices_other_mistakes(bench: Laboratory, table: str, statement: str) -> None:
    assert await seen_after(bench, table, statement)


async def test_what_was_granted_for_nothing_is_noticed(bench: Laboratory) -> None:
    await bench.connection.execute("GRANT SELECT ON leads TO leadsaga_engine")
    await bench.connection.execute("GRANT SELECT ON saga_log TO leadsaga_steps")
    await bench.connection.execute("GRANT INSERT ON orders TO leadsaga_reader")
    found = misgranted([table for table in await catalogue.read(bench.connection) if table.of_tenants])
    assert [
        "leadsaga_engine was granted select on leads",
        "leadsaga_reader was granted insert on orders",
        "leadsaga_steps was granted select on saga_log",
    ] == sorted(found)


async def test_a_table_that_nobody_has_thought_of_is_in_the_matrix_and_open_to_nobody(
    database_url: str,
) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "CREATE TABLE leadsaga.wishes (tenant_id text, wish text);"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON leadsaga.wishes TO leadsaga_steps"
    )
    await admin.close()
    async with laboratory(database_url) as bench:
        wishes = [bench.table("wishes")]
        wrong = {(each.cell.role, each.cell.case) for each in await run(bench, cells(wishes)) if each.wrong}
        assert {("leadsaga_steps", case) for case in ("other", "unset")} <= wrong


async def test_a_probe_leaves_nothing_behind_and_a_bad_one_is_no_answer(bench: Laboratory) -> None:
    gone = Probe(role="leadsaga_steps", tenant=ACME, statement="DELETE FROM leads")
    assert [1, 1] == await bench.reached([gone, gone])
    now = "SELECT current_user <> 'leadsaga_steps' AND leadsaga.current_tenant() IS NULL"
    assert await bench.connection.fetchval(now)
    with pytest.raises(BadProbe):
        await bench.reached([Probe(role="leadsaga_steps", tenant=ACME, statement="SELECT 1 / 0")])


def test_each_part_of_each_and_is_found() -> None:
    expression = "((a = f(b)) OR ((c IS NULL) AND (d <= now())))"
    assert {"(c IS NULL)", "(d <= now())"} == {expression[begin:end] for begin, end in conjuncts(expression)}


async def test_everybody_is_tried_and_every_condition_is_of_a_table_that_exists(bench: Laboratory) -> None:
    assert 5 == len(EVERYBODY)
    assert {condition.table for condition in CONDITIONS} <= {table.name for table in bench.tables}
    assert all(isinstance(each, Mutant) for each in mutants(bench.table("leads")))
