"""A tenant is set when something is asked in its name, and not before; nothing is asked in another's."""

import asyncio
from typing import Any

import pytest

from steps.runtime.effects_postgres import PostgresEffects
from steps.runtime.named import InTheNameOf, asking


class Recording:
    """Stands in for a connection: it knows who is set, and in whose name each statement came."""

    def __init__(self, named: str | None) -> None:
        self.named = named or ""
        self.said: list[str] = []
        """`set acme` and `acme: SELECT ...`, in order."""
        self.breaks = False

    async def execute(self, query: str, *arguments: Any) -> str:
        if "set_config" in query:
            (self.named,) = arguments
            self.said.append(f"set {self.named}".strip())
            if self.breaks:
                raise TimeoutError  # and who asked cannot know that it was heard
            return "SELECT 1"
        return await self._ask(query)

    async def fetch(self, query: str) -> list[str]:
        return [await self._ask(query)]

    async def fetchrow(self, query: str) -> str:
        return await self._ask(query)

    async def fetchval(self, query: str) -> str:
        return await self._ask(query)

    async def _ask(self, query: str) -> str:
        await asyncio.sleep(0)
        self.said.append(f"{self.named}: {query}")
        return query


def begun(tenant_id: str | None) -> tuple[Recording, PostgresEffects]:
    line: Any = Recording(tenant_id)
    return line, PostgresEffects(asking(line, tenant_id))


async def test_whose_turn_it_is_is_said_when_something_is_asked():
    line, effects = begun(None)
    for tenant_id in ("acme", "globex", "initech"):
        effects.work_for(tenant_id)
        if tenant_id != "globex":
            await effects.connection.execute("one")
            await effects.connection.execute("two")
    effects.work_for(None)
    await effects.connection.execute("all")

    assert [
        *("set acme", "acme: one", "acme: two"),
        *("set initech", "initech: one", "initech: two"),
        *("set", ": all"),
    ] == line.said


async def test_when_no_turn_asks_anything_nobody_is_set():
    line, effects = begun(None)
    for tenant_id in ("acme", "globex", None):
        effects.work_for(tenant_id)
    await effects.connection.execute("all")
    assert [": all"] == line.said


async def test_in_a_transaction_of_one_tenant_nothing_is_set_again():
    line, effects = begun("acme")
    await effects.connection.execute("one")
    effects.work_for("acme")
    await effects.connection.execute("two")
    assert ["acme: one", "acme: two"] == line.said


@pytest.mark.parametrize("verb", ["execute", "fetch", "fetchrow", "fetchval"])
async def test_every_way_to_ask_sets_who_asks(verb: str):
    line, effects = begun(None)
    effects.work_for("acme")
    await getattr(effects.connection, verb)("one")
    assert ["set acme", "acme: one"] == line.said


async def test_who_keeps_a_connection_beyond_its_turn_goes_on_in_its_own_name():
    line, effects = begun(None)
    effects.work_for("acme")
    kept = effects.connection
    effects.work_for("globex")
    await effects.connection.execute("globex's")
    await kept.execute("acme's")
    await effects.connection.execute("globex's")
    assert ["globex: globex's", "acme: acme's", "globex: globex's"] == [
        each for each in line.said if not each.startswith("set")
    ]


async def test_of_whom_nobody_knows_whether_he_was_set_is_set_again():
    line, effects = begun(None)
    effects.work_for("acme")
    acme: InTheNameOf = effects.connection
    await acme.execute("one")
    effects.work_for("globex")
    line.breaks = True
    with pytest.raises(TimeoutError):
        await effects.connection.execute("two")
    line.breaks = False
    await acme.execute("three")
    assert ["set acme", "acme: one", "set globex", "set acme", "acme: three"] == line.said
