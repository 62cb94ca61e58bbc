"""The store on Postgres."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.store import postgres_rows as rows
from orchestrator.store.port import EventOut, Gauges, Group, Order, SagaKey, SagaVersion
from orchestrator.store.postgres_group import PostgresGroup
from orchestrator.store.statements import Statements


class PostgresStore:
    def __init__(self, database: Database, *, versions: Collection[SagaVersion]) -> None:
        """A database whose connections belong to the role leadsaga_engine. `versions`: those it may offer."""
        self._database = database
        self._versions = frozenset(versions)

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        """Errors of the database pass through; contracts.process.postgres says which are worth a retry."""
        async with self._database.transaction(name="group") as connection:
            await Statements(connection).execute("settings")
            yield PostgresGroup(connection, self._versions)

    async def due(self, now: datetime, *, limit: int) -> list[SagaKey]:
        return [rows.key(record) for record in await self._fetch("due", now, limit, self._known)]

    async def postpone(self, keys: Collection[SagaKey], now: datetime) -> None:
        if keys:
            await self._fetch("postpone", *rows.columns(set(keys)), now)

    async def open_orders(self, *, limit: int) -> list[Order]:
        return [rows.order(record) for record in await self._fetch("open_orders", limit, self._known)]

    async def events_before(self, moment: datetime, *, limit: int) -> list[EventOut]:
        return [rows.event(record) for record in await self._fetch("events_before", moment, limit)]

    async def delete_events(self, ids: Collection[UUID]) -> None:
        if ids:
            await self._fetch("delete_events", list(ids))

    async def gauges(self) -> Gauges:
        (record,) = await self._fetch("gauges")
        return Gauges(**dict(record))

    @property
    def _known(self) -> list[str]:
        return rows.of_versions(self._versions)

    async def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        async with self._database.transaction(name=f"store.{statement}") as connection:
            statements = Statements(connection)
            await statements.execute("settings")
            return await statements.fetch(statement, *parameters)
