"""Who did what is listed, and every command that changes or looks at a tenant's content is in the list."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from orchestrator.operate.cli.build import build
from tests.integration.operate.conftest import ESCAPE, Audit, Tool
from tests.kit.store_postgres import PostgresWorld

LIST = ("audit", "list", "--json")


async def suspended(operator: Tool, reason: str = "unpaid") -> None:
    assert 0 == (await operator("tenants", "suspend", "acme", "--reason", reason)).code


async def test_the_newest_is_listed_first_with_both_sides_and_its_place_in_the_chain(
    world: PostgresWorld, operator: Tool
) -> None:
    await suspended(operator)
    await operator("tenants", "resume", "acme", "--reason", "paid")
    resumed, first = (await operator(*LIST)).json
    told = [first[name] for name in ("actor", "action", "tenant_id", "reason", "link")]
    assert ["ann", "suspend tenant", "acme", "unpaid", 1] == told
    assert ({"status": "active"}, {"status": "suspended"}) == (first["before"], first["after"])
    assert "leadsaga_operator" in {first["written_by"], resumed["written_by"]}
    assert ("resume tenant", 2) == (resumed["action"], resumed["link"])


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--tenant", "acme"), 1),
        (("--actor", "ann"), 1),
        (("--actor", "bob"), 0),
        (("--action", "suspend tenant"), 1),
        (("--action", "resume tenant"), 0),
        (("--since", "1h"), 1),
        (("--since", "2999-01-01"), 0),
        (("--limit", "1"), 1),
    ],
)
async def test_the_list_is_narrowed_down(
    world: PostgresWorld, operator: Tool, options: tuple[str, ...], count: int
) -> None:
    await suspended(operator)
    assert count == len((await operator(*LIST, *options)).json)


async def test_a_tenant_that_nobody_knows_is_not_found(world: PostgresWorld, operator: Tool) -> None:
    assert 3 == (await operator("audit", "list", "--tenant", "nobody")).code


async def test_what_was_written_steers_no_terminal(world: PostgresWorld, operator: Tool) -> None:
    await suspended(operator, f"{ESCAPE}[2Jnothing to see")
    shown = await operator("audit", "list")
    assert ("nothing to see" in shown.out, False) == (True, ESCAPE in shown.out)


async def nothing() -> None: ...


def commands(command: Any, *path: str) -> Iterator[str]:
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, *path, name)
    if not hasattr(command, "commands"):
        yield " ".join(path)


AUDITED = {
    *("replay", "sagas replay", "resolve", "sagas resolve", "cancel", "sagas cancel"),
    *("dead-letters replay", "dead-letters close", "dead-letters show", "leads"),
    *(
        "tenants add",
        "tenants set",
        "tenants suspend",
        "tenants resume",
        "tenants limits",
        "plans add",
        "secrets rotate",
    ),
    *("plans set", "rates set"),
}
"""Each leaves a row; of `dead-letters show` only the exact bytes are more than names and beginnings."""

ONLY_READ = {
    *("list", "show", "usage", "dead-letters list", "tenants list", "plans list"),
    *("audit list", "audit verify", "reconcile", "margin", "rates list"),
}
"""Numbers, names and reasons; of texts the beginning."""

ON_RECORD_ELSEWHERE = {
    *("request", "refund"),  # a saga and its log, with actor and reason where there is one
    *("migrate",),  # schema_versions
    *("run orchestrator", "run step", "run all"),
}


def test_every_command_is_known_to_leave_a_row_in_the_audit_or_to_need_none() -> None:
    found = set(commands(typer.main.get_command(build(nothing))))
    assert found == AUDITED | ONLY_READ | ON_RECORD_ELSEWHERE


BLUE = ("tenants", "add", "blue", "--name", "Blue", "--plan", "basic")


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (("plans", "add", "gold", "--price", "1", "--currency", "eur", "--quota", "1"), "add plan"),
        ((*BLUE, "--stripe-customer", "cus_1"), "add tenant"),
        (("tenants", "set", "acme", "--name", "New", "--reason", "r"), "change tenant"),
        (("tenants", "limits", "acme", "--sagas", "2", "--reason", "r"), "change tenant"),
        (("tenants", "suspend", "acme", "--reason", "r"), "suspend tenant"),
        (("tenants", "resume", "acme", "--reason", "r"), "resume tenant"),
    ],
)
async def test_a_change_of_who_buys_or_what_is_sold_leaves_both_sides(
    world: PostgresWorld, operator: Tool, audit: Audit, arguments: tuple[str, ...], action: str
) -> None:
    assert 0 == (await operator(*arguments)).code
    (row,) = await audit()
    assert ("ann", action) == (row["actor"], row["action"])
    assert json.loads(row["after"])
    assert (row["before"] is None) == action.startswith("add")
