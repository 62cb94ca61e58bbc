"""A dead letter that no saga will close is closed by a person, with a reason that stays in the audit."""

import json
from uuid import UUID

import asyncpg
import pytest

from tests.integration.operate.conftest import Audit, Tool
from tests.integration.operate.test_orders import parked
from tests.kit.roles import as_role
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import letter

ID = UUID(int=1)


async def buried(world: PostgresWorld, saga: UUID | None = None) -> None:
    async with world.store.group() as group:
        await group.bury([letter(1, key=("acme", saga) if saga else None)])


async def standing(world: PostgresWorld) -> str:
    return str(await world.owner.pool.fetchval("SELECT status FROM dead_letters"))


async def test_a_letter_of_no_saga_is_closed_once_and_audited(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    await buried(world)
    ran = await operator("dead-letters", "close", ID, "--reason", "the sender was mended")
    assert (0, f"dead letter {ID}: resolved\n", "resolved") == (ran.code, ran.out, await standing(world))
    assert [] == (await operator("dead-letters", "list", "--json")).json
    (row,) = await audit()
    assert ("ann", "close dead letter", "the sender was mended") == (
        row["actor"], row["action"], row["reason"],
    )  # fmt: skip
    assert ("open", "resolved") == tuple(json.loads(row[name])["status"] for name in ("before", "after"))
    again = await operator("dead-letters", "close", ID, "--reason", "again")
    assert (1, "the dead letter is not open: resolved\n") == (again.code, again.err)
    assert 1 == len(await audit())


async def test_a_letter_of_a_parked_saga_closes_with_its_saga_only(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    await buried(world, await parked(world))
    ran = await operator("dead-letters", "close", ID, "--reason", "x")
    assert (1, "open", True) == (ran.code, await standing(world), "replay or resolve" in ran.err)
    await world.owner.pool.execute("UPDATE sagas SET status = 'completed', wake_at = NULL")
    assert 0 == (await operator("dead-letters", "close", ID, "--reason", "its saga has ended")).code
    assert [("acme", "resolved")] == [(row["tenant_id"], await standing(world)) for row in await audit()]


async def test_closing_needs_a_letter_and_a_reason(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    assert 3 == (await operator("dead-letters", "close", ID, "--reason", "x")).code
    await buried(world)
    assert 1 == (await operator("dead-letters", "close", ID, "--reason", " ")).code
    assert 2 == (await operator("dead-letters", "close", ID)).code
    assert ("open", []) == (await standing(world), await audit())


@pytest.mark.parametrize("change", ["status = 'moot'", "message = 'x'", "last_at = now()"])
async def test_operators_can_change_nothing_else_of_a_letter(
    world: PostgresWorld, database_url: str, change: str
) -> None:
    await buried(world)
    search = {"search_path": "leadsaga"}
    connection = await asyncpg.connect(as_role(database_url, "leadsaga_operator"), server_settings=search)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"UPDATE dead_letters SET {change}")
    finally:
        await connection.close()
