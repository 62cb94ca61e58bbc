"""The operators' tool beside a store: what it orders is carried out, what is carried out it shows."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.process.postgres import Database, connect
from contracts.process.settings import PoolSettings
from orchestrator.__main__ import main
from tests.kit.roles import as_role
from tests.kit.store_postgres import ADD_PLAN, PostgresWorld
from tests.kit.webhooks import SECRETS_KEY

ESCAPE = "\x1b"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tool = Callable[..., Awaitable[Ran]]
Audit = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[PostgresWorld]:
    pool = PoolSettings()
    async with (
        connect(as_role(database_url, "leadsaga_engine"), pool, name="test") as engine,
        connect(database_url, pool, name="test") as owner,
    ):
        await owner.pool.execute(ADD_PLAN)
        made = PostgresWorld(engine, owner)
        await made.add_tenant("acme")
        yield made


@pytest.fixture
async def operators(database_url: str) -> AsyncIterator[Database]:
    """For several of them at once."""
    async with connect(as_role(database_url, "leadsaga_operator"), PoolSettings(), name="test") as found:
        yield found


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs `leadsaga` with these arguments, in a thread of its own."""
    monkeypatch.setenv("LEADSAGA_ACTOR", "ann")
    monkeypatch.setenv("COLUMNS", "400")

    async def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [str(each) for each in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture
def operator(tool: Tool, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Tool:
    """The tool, with a database of its own."""
    monkeypatch.setenv("LEADSAGA_OPERATOR_URL", as_role(database_url, "leadsaga_operator"))
    monkeypatch.setenv("LEADSAGA_SECRETS_KEY", SECRETS_KEY)
    return tool


@pytest.fixture
def audit(world: PostgresWorld) -> Audit:
    async def read() -> list[dict[str, Any]]:
        found = await world.owner.pool.fetch("SELECT * FROM audit ORDER BY audit_id")
        return [dict(record) for record in found]

    return read
