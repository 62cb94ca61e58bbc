"""No statement that runs reads a whole table that grows: not with the plan that was made, and kept, while the
tables were new, nor with one that is made when they are large.

Generic plans, as prepared statements end with. `tests/integration/store/test_plans.py` counts rows, too.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import steps
from orchestrator.store.queries import QUERIES
from tests.kit.roles import as_role

pytestmark = pytest.mark.services

SQL = re.compile(r"(?:\s|--.*\n)*(SELECT|INSERT|UPDATE|DELETE|WITH)\s", re.IGNORECASE)
PARAMETER = re.compile(r"\$(\d+)")
SMALL, LARGE = 100, 20_000
"""Sagas that have ended."""

GROWING = {
    *("requests", "sagas", "saga_log", "dead_letters", "effects", "holds"),
    *("model_calls", "leads", "ledger", "intents", "carriers", "notices"),
}
"""With every saga. What has a row for each tenant, or only for work that waits, is not among them."""

FULL = Path(__file__).parents[1] / "kit" / "full_tables.sql"


def statements_of_steps() -> dict[str, str]:
    """By module and name: every constant of the steps that is a statement."""
    found = {}
    for module in pkgutil.walk_packages(steps.__path__, "steps."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") and name.isupper() and isinstance(value, str) and SQL.match(value):
                found[f"{module.name}.{name}"] = value
    return found


ROLES: Mapping[str, tuple[Mapping[str, str], str]] = {
    "leadsaga_engine": (
        {name: query.sql for name, query in QUERIES.items() if SQL.match(query.sql)},
        "SET LOCAL enable_seqscan = off",
    ),
    "leadsaga_steps": (
        statements_of_steps(),
        "SELECT set_config('leadsaga.tenant_id', 't-1', true), set_config('enable_seqscan', 'off', true)",
    ),
}
"""What each role runs, and how its transactions begin."""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def reads_all(node: dict[str, Any], partial: frozenset[str]) -> bool:
    """Partial indexes hold what waits; that may be read whole."""
    if node.get("Relation Name", node.get("Index Name")) is None:
        return False
    kind = node["Node Type"]
    if kind == "Seq Scan":
        return node["Relation Name"] in GROWING
    if "Index" in kind and "Index Cond" not in node:
        table = node.get("Relation Name", node["Index Name"])
        return node["Index Name"] not in partial and any(
            table == each or table.startswith(f"{each}_") for each in GROWING
        )
    return False


async def whole_tables(
    connection: Any, role: str, statements: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """By statement (all of the role if none are given): what its generic plan reads from end to end."""
    partial = frozenset(
        row["name"]
        for row in await connection.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indpred IS NOT NULL"
        )
    )
    every, begin = ROLES[role]
    found = {}
    for number, (name, text) in enumerate((statements or every).items()):
        async with connection.transaction():
            await connection.execute(begin)
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE s{number} AS {text.strip().removesuffix(';')}")
            most = max(map(int, PARAMETER.findall(text)), default=0)
            given = f"({', '.join(['NULL'] * most)})" if most else ""
            plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE s{number} {given}"))
        read = [
            f"{node['Node Type']} {node.get('Relation Name', node.get('Index Name'))}"
            for node in nodes(plan[0]["Plan"])
            if reads_all(node, partial)
        ]
        if read:
            found[name] = read
    return found


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "leadsaga"})
    try:
        yield connection
    finally:
        await connection.close()


async def filled(database_url: str, rows: int) -> None:
    """And analysed, as autovacuum does it a minute later."""
    async with connected(database_url) as owner:
        await owner.execute(FULL.read_text(encoding="utf-8").replace(":rows", str(rows)))


@pytest.mark.parametrize("role", list(ROLES))
async def test_plans_made_while_the_tables_are_new_read_no_whole_table(database_url: str, role: str) -> None:
    async with connected(as_role(database_url, role)) as connection:
        assert {} == await whole_tables(connection, role)


@pytest.mark.parametrize("role", list(ROLES))
async def test_plans_made_while_the_tables_are_small_read_no_whole_table(
    database_url: str, role: str
) -> None:
    """They are known to be small by then, and a plan may be kept for a minute of thousands of sagas."""
    await filled(database_url, SMALL)
    async with connected(as_role(database_url, role)) as connection:
        assert {} == await whole_tables(connection, role)


@pytest.mark.parametrize("role", list(ROLES))
async def test_plans_made_when_the_tables_are_large_read_no_whole_table(database_url: str, role: str) -> None:
    await filled(database_url, LARGE)
    async with connected(as_role(database_url, role)) as connection:
        assert {} == await whole_tables(connection, role)


BAD = {
    "scan": "SELECT count(*) FROM effects WHERE answered > $1",
    "whole index": "SELECT saga_id FROM effects ORDER BY tenant_id, saga_id LIMIT $1",
    "good": "SELECT state FROM effects WHERE tenant_id = $1 AND saga_id = $2",
}


async def test_a_statement_that_reads_a_whole_table_is_found(database_url: str) -> None:
    await filled(database_url, LARGE)
    async with connected(database_url) as connection:
        found = await whole_tables(connection, "leadsaga_steps", BAD)
    assert {"scan": ["Seq Scan effects"], "whole index": ["Index Only Scan effects"]} == found


def test_the_statements_of_both_sides_are_found() -> None:
    assert {"load", "save"} <= set(ROLES["leadsaga_engine"][0])
    assert {"steps.runtime.effects_postgres._LOCK", "steps.record_usage._SHOW"} <= set(
        ROLES["leadsaga_steps"][0]
    )
