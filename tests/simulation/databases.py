"""The database server that both sides share: slow, away for a while, and cutting connections at the worst
moment. What is kept lies in the stores in memory."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from orchestrator.store.memory import MemoryStore
from orchestrator.store.port import (
    Change,
    EventOut,
    Foreign,
    Gauges,
    Group,
    Order,
    SagaKey,
    Stored,
)
from steps.runtime.effects import Effects
from steps.runtime.effects_memory import VolatileMemory
from tests.simulation.processes import Process


class Server:
    def __init__(self) -> None:
        self.up = True

    async def reach(self, process: Process, what: str) -> None:
        await process.point(f"begin {what}")
        if not self.up:
            raise ConnectionRefusedError

    async def commit(self, process: Process, what: str) -> None:
        """An exception here rolls back."""
        await process.point(f"commit {what}")
        world = process.world
        if not self.up or world.chance.random() < world.weather.cut / 2:
            raise ConnectionResetError
        if world.chance.random() < world.weather.race:
            raise asyncpg.DeadlockDetectedError

    async def committed(self, process: Process, what: str) -> None:
        """Nobody can tell an exception here from one before the commit."""
        await process.point(f"committed {what}")
        world = process.world
        if world.chance.random() < world.weather.cut / 2:
            raise ConnectionResetError


class WatchedGroup:
    """Remembers what was appended, so that it can be told once it is committed."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.changes: list[Change] = []

    async def save(self, changes: Collection[Change], events: Sequence[EventOut] = ()) -> None:
        await self._group.save(list(changes), events)
        self.changes += changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)


class SimulatedStore:
    """Implements Store for one process."""

    def __init__(self, process: Process, store: MemoryStore, server: Server) -> None:
        self._process = process
        self._store = store
        self._server = server

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Any]:
        try:
            await self._server.reach(self._process, "group")
            async with self._store.group() as group:
                watched = WatchedGroup(group)
                yield watched
                await self._server.commit(self._process, "group")
            self._process.world.appended(self._process, watched.changes)
            await self._server.committed(self._process, "group")
        except Exception:
            self._process.world.broker.repeats += 1
            raise

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        try:
            await self._server.reach(self._process, "load")
        except Exception:
            self._process.world.broker.repeats += 1
            raise
        return await self._store.load(keys)

    async def save(self, changes: Collection[Change], events: Sequence[EventOut] = ()) -> None:
        async with self.group() as group:
            await group.save(changes, events)

    async def due(self, now: datetime, *, limit: int) -> list[SagaKey]:
        await self._server.reach(self._process, "due")
        return await self._store.due(now, limit=limit)

    async def postpone(self, keys: Collection[SagaKey], now: datetime) -> None:
        await self._server.reach(self._process, "postpone")
        await self._store.postpone(keys, now)

    async def open_orders(self, *, limit: int) -> list[Order]:
        await self._server.reach(self._process, "open orders")
        return await self._store.open_orders(limit=limit)

    async def events_before(self, moment: datetime, *, limit: int) -> list[EventOut]:
        await self._server.reach(self._process, "events before")
        return await self._store.events_before(moment, limit=limit)

    async def delete_events(self, ids: Collection[UUID]) -> None:
        await self._server.reach(self._process, "delete events")
        await self._store.delete_events(ids)

    async def gauges(self) -> Gauges:
        await self._server.reach(self._process, "gauges")
        return await self._store.gauges()


class SimulatedMemory:
    """Implements Memory for one process."""

    def __init__(self, process: Process, memory: VolatileMemory, server: Server) -> None:
        self._process = process
        self._memory = memory
        self._server = server

    @asynccontextmanager
    async def transaction(self, *tenants: str, name: str | None = None) -> AsyncIterator[Effects]:
        what = name or "?"
        await self._server.reach(self._process, what)
        async with self._memory.transaction(*tenants, name=name) as effects:
            yield effects
            await self._server.commit(self._process, what)
        self._process.world.trace.say(self._process.name, "commits", what)
        await self._server.committed(self._process, what)


class SimulatedDatabase:
    """What background jobs of steps use: a transaction hands out the tables."""

    def __init__(self, memory: SimulatedMemory) -> None:
        self._memory = memory

    @asynccontextmanager
    async def transaction(
        self, tenant_id: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[Any]:
        tenants = () if tenant_id is None else (tenant_id,)
        async with self._memory.transaction(*tenants, name=name) as effects:
            yield effects.connection
