"""The store on Postgres."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.store import postgres_rows as rows
from orchestrator.store.known import Known
from orchestrator.store.port import (
    Change,
    EventOut,
    Foreign,
    Gauges,
    Group,
    Order,
    SagaKey,
    SagaVersion,
    Stored,
)
from orchestrator.store.postgres_group import PostgresGroup
from orchestrator.store.statements import Statements


class PostgresStore:
    def __init__(self, database: Database, *, versions: Collection[SagaVersion]) -> None:
        """A database whose connections belong to the role leadsaga_engine, and look for rows BY_INDEX.
        `versions`: those it may offer."""
        self._database = database
        self._versions = frozenset(versions)
        self._known_sagas = Known()

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        """Errors of the database pass through; contracts.process.postgres says which are worth a retry."""
        async with self._database.transaction(name="group") as connection:
            group = PostgresGroup(connection, self._versions, self._known_sagas)
            yield group
        self._known_sagas.learn(group.saved)

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        async with self._database.alone() as connection:
            return await PostgresGroup(connection, self._versions, self._known_sagas).load(keys)

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        async with self._database.alone() as connection:
            group = PostgresGroup(connection, self._versions, self._known_sagas)
            await group.save(changes, events)
        self._known_sagas.learn(group.saved)

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
            return await Statements(connection).fetch(statement, *parameters)
