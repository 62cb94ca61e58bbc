"""Statements in the name of a tenant, who is set only when there is a statement.

A transaction of several tenants works for one after the other, and many a step has nothing to ask in between.
Each of them gets a connection of its own name: whenever it is used, and by whoever kept it, what runs on it
runs under that name.
"""

from dataclasses import dataclass
from typing import Any

from contracts.process.postgres import Connection, set_tenant


@dataclass(slots=True)
class _Line:
    """A connection inside a transaction."""

    connection: Connection
    named: str | None
    """Whom the database was told last, '' for nobody; None while nobody knows whether it has heard."""


@dataclass(frozen=True, slots=True)
class InTheNameOf:
    """As much of an asyncpg connection as steps use."""

    line: _Line
    tenant_id: str
    """Empty: nobody's."""

    def another(self, tenant_id: str | None) -> "InTheNameOf":
        """The same connection for another tenant, or for nobody. Nothing is said to the database."""
        return InTheNameOf(self.line, tenant_id or "")

    async def execute(self, query: str, *arguments: Any) -> str:
        if self.line.named != self.tenant_id:
            await self._say()
        return await self.line.connection.execute(query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        if self.line.named != self.tenant_id:
            await self._say()
        return await self.line.connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        if self.line.named != self.tenant_id:
            await self._say()
        return await self.line.connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        if self.line.named != self.tenant_id:
            await self._say()
        return await self.line.connection.fetchval(query, *arguments)

    async def _say(self) -> None:
        self.line.named = None
        await set_tenant(self.line.connection, self.tenant_id)
        self.line.named = self.tenant_id


def asking(connection: Connection, tenant_id: str | None) -> InTheNameOf:
    """On a connection inside a transaction that has begun as this tenant's, or as nobody's."""
    return InTheNameOf(_Line(connection, tenant_id or ""), tenant_id or "")
