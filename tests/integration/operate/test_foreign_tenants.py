"""Every command that takes a tenant is given the ids of another one's: it shows nothing of the other, and
changes nothing of it."""

from typing import Any

import click
import pytest
import typer

from orchestrator.__main__ import _orchestrator
from orchestrator.operate.cli.build import build
from tests.integration.operate.conftest import Tool
from tests.integration.operate.content import saga_with_content
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import letter

pytestmark = pytest.mark.services

NOT_FOUND, TIMED_OUT, OK = 3, 4, 0

FOREIGN: dict[str, tuple[list[str], int]] = {
    "show": (["SAGA"], NOT_FOUND),
    "leads": (["REQUEST", "--reason", "why"], NOT_FOUND),
    "list": ([], OK),
    "usage": ([], OK),
    "margin": ([], OK),
    "reconcile": (["--wait", "0"], TIMED_OUT),
    "dead-letters list": (["--all"], OK),
    "audit list": ([], OK),
    "cancel": (["SAGA", "--reason", "why"], NOT_FOUND),
    "replay": (["SAGA", "--reason", "why"], NOT_FOUND),
    "resolve": (["SAGA", "--as", "done", "--reason", "why"], NOT_FOUND),
    "refund": (["REQUEST", "--dry-run"], NOT_FOUND),
    "sagas cancel": (["REQUEST", "--reason", "why"], NOT_FOUND),
    "sagas replay": (["REQUEST", "--dry-run"], NOT_FOUND),
    "sagas resolve": (["REQUEST", "--as", "not_done", "--reason", "why"], NOT_FOUND),
}
"""What is given to each, beside `--tenant blue`, and how it ends. SAGA and REQUEST are acme's."""

OVER_THE_BROKER = {"request"}
"""They publish under the key of the tenant that is named; what becomes of ids of another one is tried with
the consumer of requests."""


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def collect(command: click.Command, path: str) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found[path] = command
            return
        for name, each in inner.items():
            collect(each, f"{path} {name}".strip())

    collect(typer.main.get_command(build(_orchestrator)), "")
    return found


def of_a_tenant() -> set[str]:
    return {
        path
        for path, command in commands().items()
        if any("--tenant" in parameter.opts for parameter in command.params)
    }


def test_every_command_that_takes_a_tenant_is_tried() -> None:
    assert {"show", "leads", "refund"} <= of_a_tenant()
    assert of_a_tenant() == set(FOREIGN) | OVER_THE_BROKER


@pytest.mark.parametrize("path", sorted(FOREIGN))
async def test_what_is_another_tenants_is_neither_shown_nor_changed(
    world: PostgresWorld, operator: Tool, path: str
) -> None:
    await world.add_tenant("blue")
    made = await saga_with_content(world)
    async with world.store.group() as group:
        await group.bury([letter(1, key=("acme", made))])
    before = await victims(world)
    arguments, code = FOREIGN[path]
    given = [{"SAGA": str(made), "REQUEST": "r-1"}.get(each, each) for each in arguments]
    for as_json in ([], ["--json"]):
        ran = await operator(*path.split(), *given, "--tenant", "blue", *as_json)
        assert code == ran.code, ran.err
        shown = ran.out + ran.err
        for secret in (str(made), "Cycles", "kim@c.example", "acme"):
            # What was asked for may be repeated, and that there is no such thing.
            assert secret not in shown.replace(f"saga or request {made}", ""), shown
    assert before == await victims(world)


async def test_the_same_commands_find_what_is_the_tenants_own(world: PostgresWorld, operator: Tool) -> None:
    """Or their silence would prove nothing."""
    made = await saga_with_content(world)
    for path in ("show", "leads", "list", "usage"):
        given = [{"SAGA": str(made), "REQUEST": "r-1"}.get(each, each) for each in FOREIGN[path][0]]
        ran = await operator(*path.split(), *given, "--tenant", "acme", "--json")
        assert OK == ran.code, ran.err
        assert ran.json


async def victims(world: PostgresWorld) -> dict[str, list[Any]]:
    tables = await world.owner.pool.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind = 'r' AND a.attname = 'tenant_id'"
    )
    return {
        name: [
            row[0]
            for row in await world.owner.pool.fetch(
                f"SELECT to_jsonb(t)::text FROM {name} t WHERE tenant_id = 'acme' ORDER BY 1"
            )
        ]
        for (name,) in map(tuple, tables)
    }
