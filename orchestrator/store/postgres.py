"""The store on Postgres."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.core.log import Entry
from orchestrator.store import postgres_rows as rows
from orchestrator.store.codec import read_entry
from orchestrator.store.port import EventOut, Gauges, Group, Order, SagaKey
from orchestrator.store.postgres_group import PostgresGroup
from orchestrator.store.queries import sql


class PostgresStore:
    def __init__(self, database: Database) -> None:
        """A database whose connections belong to the role leadsaga_engine."""
        self._database = database

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        """Errors of the database pass through; contracts.process.postgres says which are worth a retry."""
        async with self._transaction() as connection:
            yield PostgresGroup(connection)

    async def due(self, now: datetime, *, limit: int) -> list[SagaKey]:
        return [rows.key(record) for record in await self._fetch("due", now, limit)]

    async def postpone(self, keys: Collection[SagaKey], now: datetime) -> None:
        if keys:
            await self._fetch("postpone", *rows.columns(set(keys)), now)

    async def open_orders(self, *, limit: int) -> list[Order]:
        return [rows.order(record) for record in await self._fetch("open_orders", limit)]

    async def events_before(self, moment: datetime, *, limit: int) -> list[EventOut]:
        return [rows.event(record) for record in await self._fetch("events_before", moment, limit)]

    async def delete_events(self, ids: Collection[UUID]) -> None:
        if ids:
            await self._fetch("delete_events", list(ids))

    async def history(self, key: SagaKey) -> list[Entry]:
        return [read_entry(record["entry"]) for record in await self._fetch("history", *key)]

    async def gauges(self) -> Gauges:
        (record,) = await self._fetch("gauges")
        return Gauges(**dict(record))

    async def _fetch(self, name: str, *parameters: Any) -> list[Any]:
        async with self._transaction() as connection:
            return list(await connection.fetch(sql(name), *parameters))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        async with self._database.transaction() as connection:
            await connection.execute(sql("settings"))
            yield connection
