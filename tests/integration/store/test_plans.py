"""The hot statements stay fast on a table that grew before the database knew anything about it."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from contracts.process.postgres import BY_INDEX
from orchestrator.store.queries import QUERIES, sql
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import DAY, MINUTE, NOON

pytestmark = pytest.mark.services

SAGAS = 20_000
GROUP = 50

FILL = [
    """
    INSERT INTO tenants (tenant_id, name, plan_id) SELECT 't-' || n, 'T', 'basic' FROM generate_series(0, 9) n
    """,
    f"""
    INSERT INTO sagas
        (tenant_id, saga_id, saga, version, request_id, request, status, state, entries, in_flight, wake_at)
    SELECT 't-' || n % 10, lpad(to_hex(n), 32, '0')::uuid, 'lead', 1, 'r-' || n, '{{"leads": 5}}',
           CASE WHEN n % 100 < 60 THEN 'completed' WHEN n % 100 < 97 THEN 'waiting' ELSE 'running' END,
           '{{"status": "running", "due_at": "2026-11-22T12:00:00Z"}}', 3, n % 100 >= 97,
           CASE WHEN n % 100 >= 60 THEN timestamptz '2026-11-22 12:00Z' - n * interval '1 second' END
    FROM generate_series(1, {SAGAS}) n
    """,
    """
    INSERT INTO saga_log (tenant_id, saga_id, seq, at, kind, entry)
    SELECT tenant_id, saga_id, seq, created_at, 'started', '{"kind": "started", "at": "2026-11-21T12:00:00Z"}'
    FROM sagas, generate_series(1, 3) seq
    """,
    """
    INSERT INTO requests (tenant_id, saga, request_id, content_hash, saga_id)
    SELECT tenant_id, saga, request_id, '', saga_id FROM sagas
    """,
]

NUMBERS = [n for n in range(1, SAGAS) if n % 100 >= 97][-GROUP:]
TENANTS = [f"t-{n % 10}" for n in NUMBERS]
IDS = [UUID(int=n) for n in NUMBERS]
KNOWN = ["lead v1", "refund v1"]

NOTHING: list[list[Any]] = [[]] * 32

HOT: dict[str, tuple[Any, ...]] = {
    "load": (TENANTS, IDS, [0] * GROUP),
    "save": (
        *NOTHING[:13],
        *(TENANTS, IDS, [3] * GROUP, ["running"] * GROUP, ["{}"] * GROUP, [4] * GROUP, [True] * GROUP),
        *([NOON + DAY] * GROUP, [NOON] * GROUP),
        *(TENANTS, IDS, [4] * GROUP, [NOON] * GROUP, ["started"] * GROUP, ["{}"] * GROUP),
        *NOTHING[:4],
    ),
    "admit": (TENANTS, ["lead"] * GROUP, [f"r-{n}" for n in NUMBERS], ["" for _ in NUMBERS], IDS),
    "requests": (TENANTS, ["lead"] * GROUP, [f"r-{n}" for n in NUMBERS]),
    "due": (NOON + DAY - SAGAS * MINUTE / 60 + MINUTE, GROUP, KNOWN),
    "postpone": (TENANTS, IDS, NOON + DAY),
    "history": (TENANTS[0], IDS[0]),
    "places": (TENANTS, KNOWN),
    "turns": ([f"t-{n}" for n in range(10)], [10] * 10, [0] * 10, GROUP, KNOWN),
}
WHILE_EMPTY = HOT | {"save": tuple(NOTHING)}
"""There are no sagas yet whose log could grow."""

GROWING = {"sagas", "saga_log", "requests"}


async def grown(world: PostgresWorld) -> None:
    async with world.owner.transaction() as connection:
        for statement in FILL:
            await connection.execute(statement)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def read(node: dict[str, Any]) -> int:
    """Rows that were looked at, wanted or not."""
    unwanted = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + unwanted) * node["Actual Loops"])


def literal(value: Any) -> str:
    """As EXECUTE takes it: no parameter of ours contains a quote."""
    if isinstance(value, list):
        return "'{" + ",".join(f'"{item}"' for item in value) + "}'"
    return f"'{value}'"


async def explain(connection: Any, name: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    parameters = ", ".join(literal(value) for value in values)
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE hot_{name} ({parameters})")
    return list(nodes(json.loads(text)[0]["Plan"]))


@asynccontextmanager
async def settled(connection: Any, mode: str) -> AsyncIterator[None]:
    """A transaction as the store begins it, with the given kind of plans, undone at the end."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        for setting, value in BY_INDEX.items():
            await connection.execute(f"SET LOCAL {setting} = {value}")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        yield
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_hot_statements_never_read_a_whole_table(world: PostgresWorld, mode: str) -> None:
    """Generic plans are made while the tables are empty, and kept; custom ones when they are full."""
    async with world.engine.pool.acquire() as connection:
        for name, values in WHILE_EMPTY.items():
            await connection.execute(f"PREPARE hot_{name} AS {sql(name)}")
            async with settled(connection, mode):
                await explain(connection, name, values)
        await grown(world)
        for name, values in HOT.items():
            async with settled(connection, mode):
                plan = await explain(connection, name, values)
            scans = [
                node for node in plan if node.get("Relation Name") in GROWING and "Scan" in node["Node Type"]
            ]
            assert [] == [node for node in scans if node["Node Type"] == "Seq Scan"], name
            # In flight are 600 sagas, and those are counted; nothing else may grow with the table.
            most = 600 if name == "places" else 2 * GROUP
            assert max((read(node) for node in scans), default=0) <= most, name


def test_every_hot_statement_is_one_of_ours() -> None:
    assert set(HOT) <= set(QUERIES)
