"""The one place where statements of `queries.sql` are run, each of them a crash point once it has run."""

from dataclasses import dataclass
from typing import Any

from contracts.process import crash
from orchestrator.store.queries import sql


@dataclass(frozen=True, slots=True)
class Statements:
    """On one connection, inside a transaction."""

    connection: Any

    async def fetch(self, name: str, *parameters: Any) -> list[Any]:
        records = list(await self.connection.fetch(sql(name), *parameters))
        _ran(name)
        return records

    async def execute(self, name: str, *parameters: Any) -> int:
        """How many rows it wrote."""
        status: str = await self.connection.execute(sql(name), *parameters)
        _ran(name)
        return _count(status)


def _ran(name: str) -> None:
    crash.point(f"store.{name}", "ran")


def _count(status: str) -> int:
    """Postgres says `INSERT 0 5`, `UPDATE 5`, and `SET` of what counts nothing."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
