"""Tenants are kept apart by the database itself, also in what the processes do with it, by their own pool and
transactions. Who reaches which rows of which table is tried in tests/tenancy."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.process.postgres import Database, connect, set_tenant
from contracts.process.settings import PoolSettings
from steps.work import due
from tests.kit.commands import add_drafts, command
from tests.kit.roles import as_role
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

TENANTS = ("acme", "globex", "initech")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as world:
        for tenant_id in TENANTS:
            await world.tenant(tenant_id)
            saga_id = await world.saga(tenant_id)
            async with world.database.transaction(tenant_id) as connection:
                await add_drafts(connection, saga_id, 1)
        yield world


async def outcome_of(world: TenantsAtWork, tenant_id: str | None, statement: str) -> str:
    """What a statement of the steps comes to: how many rows it touched, or the class of its refusal."""
    try:
        async with world.database.transaction(tenant_id) as connection:
            return str(await connection.execute(statement)).rpartition(" ")[2]
    except asyncpg.PostgresError as error:
        return type(error).__name__


ADD_WORK = "INSERT INTO work_due (kind, tenant_id, due_at) VALUES ('{kind}', '{tenant}', now())"
REFUSED = "InsufficientPrivilegeError"


async def test_who_works_for_nobody_yet_finds_what_is_due_and_puts_it_off_and_no_more(
    world: TenantsAtWork,
) -> None:
    await world.admin.execute(ADD_WORK.format(kind="flush", tenant="globex"))
    others = "WHERE tenant_id = 'globex'"
    assert "1" == await outcome_of(world, None, f"SELECT FROM work_due {others}")
    for column in (
        "weight = 7, due_at = now()",
        "since = now(), due_at = now()",
        "version = 9, due_at = now()",
    ):
        assert REFUSED == await outcome_of(world, None, f"UPDATE work_due SET {column} {others}"), column
    later = "UPDATE work_due SET due_at = now() + interval '30 seconds'"
    assert "1" == await outcome_of(world, None, f"{later} {others}")
    assert "0" == await outcome_of(world, None, f"{later} {others}"), "it is not due any more"
    assert "0" == await outcome_of(world, None, f"DELETE FROM work_due {others}")
    assert REFUSED == await outcome_of(world, None, ADD_WORK.format(kind="notices", tenant="globex"))


async def test_who_works_for_a_tenant_does_not_even_see_what_others_have_to_do(world: TenantsAtWork) -> None:
    await world.admin.execute(ADD_WORK.format(kind="flush", tenant="globex"))
    others = "WHERE tenant_id = 'globex'"
    for statement in (
        f"SELECT FROM work_due {others}",
        f"UPDATE work_due SET due_at = now() {others}",
        f"DELETE FROM work_due {others}",
    ):
        assert "0" == await outcome_of(world, "acme", statement), statement
    assert REFUSED == await outcome_of(world, "acme", f"UPDATE work_due SET tenant_id = 'acme' {others}")
    assert REFUSED == await outcome_of(world, "acme", ADD_WORK.format(kind="notices", tenant="globex"))
    assert "1" == await outcome_of(world, "acme", ADD_WORK.format(kind="notices", tenant="acme"))
    assert "1" == await outcome_of(world, "acme", "UPDATE work_due SET weight = 5, version = 2")
    assert "1" == await outcome_of(world, "acme", "DELETE FROM work_due")


SEEN = "SELECT array_agg(DISTINCT tenant_id ORDER BY tenant_id) FROM {}"


async def test_a_bundle_has_the_answers_of_its_tenants_at_hand_and_nothing_else_of_theirs(
    world: TenantsAtWork,
) -> None:
    commands = [command(tenant_id, await world.saga(tenant_id)) for tenant_id in TENANTS]
    for each in commands:
        async with world.memory.transaction(each.tenant_id) as effects:
            await effects.lock([each])
    async with world.memory.transaction("acme", "globex") as effects:

        async def seen(table: str) -> list[str] | None:
            found: list[str] | None = await effects.connection.fetchval(SEEN.format(table))
            return found

        assert (["acme", "globex"], None) == (await seen("effects"), await seen("leads"))
        for tenant_id in ("acme", "globex"):
            effects.work_for(tenant_id)
            assert ([tenant_id], [tenant_id]) == (await seen("effects"), await seen("leads"))
        effects.work_for(None)
        assert (["acme", "globex"], None) == (await seen("effects"), await seen("leads"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await effects.lock([command("initech", commands[2].saga_id, step="another")])
    for tenant_id, theirs in ((None, "0"), ("acme", "1"), ("globex", "1")):
        assert theirs == await outcome_of(world, tenant_id, "SELECT FROM effects"), "the bundle is forgotten"


ODD = ["null", "NULL", "", "o'hara", "a,b", "{x}", 'say "x"', "back\\slash", "'; RESET ROLE; --"]


async def test_a_transaction_is_of_whom_it_says_whatever_their_names(world: TenantsAtWork) -> None:
    async with world.database.transaction(bundle=ODD) as connection:
        assert ODD == await connection.fetchval("SELECT bundle_tenants()")
        assert await connection.fetchval("SELECT current_tenant()") is None
    for name in ODD:
        async with world.database.transaction(name) as connection:
            assert (name or None) == await connection.fetchval("SELECT current_tenant()")
            assert await connection.fetchval("SELECT bundle_tenants()") is None


async def test_nobody_gives_what_is_known_of_a_step_to_another_tenant(world: TenantsAtWork) -> None:
    give = "UPDATE effects SET tenant_id = 'globex'"
    assert REFUSED == await outcome_of(world, "acme", give)
    async with world.memory.transaction("acme", "globex") as effects:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await effects.connection.execute(give)


async def test_the_rounds_go_on_as_before(world: TenantsAtWork) -> None:
    """Claim without a tenant, add and finish with one."""
    for tenant_id in TENANTS:
        async with world.database.transaction(tenant_id) as connection:
            await due.add(connection, "flush", tenant_id, within=0, weight=1)
    async with world.database.transaction() as connection:
        claimed = await due.claim(connection, "flush", but=["initech"], limit=9, lease=3000)
        assert ["acme", "globex"] == sorted(claimed)
        assert await due.until_next(connection, "flush", but=[]) <= 0

    async def nothing(_: Any) -> None:
        return None

    async with world.database.transaction("acme") as connection:
        await due.again(connection, "flush", "acme", within=1)
        await due.finish(connection, "flush", "acme", nothing)
    rows = await world.admin.fetch("SELECT tenant_id FROM work_due ORDER BY 1")
    assert ["globex", "initech"] == [row["tenant_id"] for row in rows]


async def test_a_row_cannot_point_at_a_saga_of_another_tenant(world: TenantsAtWork) -> None:
    foreign = await world.admin.fetchval("SELECT saga_id FROM sagas WHERE tenant_id = 'globex'")
    statement = (
        f"INSERT INTO effects (tenant_id, saga_id, step, direction) VALUES ('acme', '{foreign}', 's', 'do')"
    )
    assert "ForeignKeyViolationError" == await outcome_of(world, "acme", statement)


async def test_an_order_cannot_point_at_a_dead_letter_of_another_tenant(world: TenantsAtWork) -> None:
    await world.admin.execute(
        "INSERT INTO dead_letters (dead_letter_id, tenant_id, queue, message_id, error, reason, fingerprint,"
        " message) VALUES (gen_random_uuid(), 'globex', 'requests', 'm', 'e', 'r', 'f', '')"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await world.admin.execute(
            "INSERT INTO orders (order_id, tenant_id, kind, actor, reason, dead_letter_id)"
            " SELECT gen_random_uuid(), 'acme', 'replay', 'ann', 'r', dead_letter_id FROM dead_letters"
        )


@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_a_pooled_connection_forgets_its_tenant_with_the_transaction(
    world: TenantsAtWork, ending: str
) -> None:
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


@dataclass(frozen=True, slots=True)
class Unit:
    """One transaction of one task. `carries`: it sets the tenant beyond its transaction, as a bug would."""

    tenant_id: str | None
    ending: str
    carries: bool
    switches_to: str | None


UNITS = st.builds(
    Unit,
    tenant_id=st.sampled_from([*TENANTS, None]),
    ending=st.sampled_from(["commit", "fail", "cancel", "terminate"]),
    carries=st.booleans(),
    switches_to=st.sampled_from([*TENANTS, None]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(tasks=st.lists(st.lists(UNITS, min_size=1, max_size=4), min_size=1, max_size=6))
async def test_however_tenants_take_turns_on_pooled_connections_each_sees_its_own(
    world: TenantsAtWork, database_url: str, tasks: list[list[Unit]]
) -> None:
    """Six tasks share two connections; some of them fail, are cancelled, lose their connection or leave a
    tenant behind on it."""
    assert world.admin
    async with connect(
        as_role(database_url, "leadsaga_steps"), PoolSettings(pool_size=2), name="test"
    ) as database:
        seen = await asyncio.gather(*(_work(database, units) for units in tasks))
    for wanted, found in (pair for each in seen for pair in each):
        assert ({wanted} if wanted else set()) == found


async def _work(database: Database, units: list[Unit]) -> list[tuple[str | None, set[str]]]:
    seen: list[tuple[str | None, set[str]]] = []
    for unit in units:
        task = asyncio.create_task(_one(database, unit, seen))
        try:
            await task
        except (asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            assert unit.ending != "commit"
    return seen


async def _one(database: Database, unit: Unit, seen: list[tuple[str | None, set[str]]]) -> None:
    async with database.transaction(unit.tenant_id) as connection:
        seen.append((unit.tenant_id, await _visible(connection)))
        if unit.switches_to is not None:
            # As a step's bundle goes from tenant to tenant.
            await set_tenant(connection, unit.switches_to)
            seen.append((unit.switches_to, await _visible(connection)))
        if unit.carries:
            await connection.execute("SELECT set_config('leadsaga.tenant_id', 'globex', false)")
        match unit.ending:
            case "fail":
                await connection.execute("SELECT 1 / 0")
            case "cancel":
                raise asyncio.CancelledError
            case "terminate":
                connection.terminate()
            case _:
                pass


async def _visible(connection: Any) -> set[str]:
    rows = await connection.fetch("SELECT tenant_id FROM leads UNION SELECT tenant_id FROM tenants")
    return {row["tenant_id"] for row in rows}
