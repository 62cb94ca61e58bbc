"""The store in memory, for tests and the simulation: the same promises, no chance and no clock of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from orchestrator.store.memory_group import MemoryGroup
from orchestrator.store.memory_tables import Tables, Tenant
from orchestrator.store.port import (
    Change,
    EventOut,
    Foreign,
    Gauges,
    Group,
    Letter,
    Order,
    SagaKey,
    SagaVersion,
    Stored,
)
from orchestrator.store.wake import needed_at


class MemoryStore:
    """Groups run one after the other. Inside a group only the group may be asked for changes: what the store
    itself changes would wait for its end."""

    def __init__(self, clock: Callable[[], datetime], *, versions: Collection[SagaVersion]) -> None:
        """`clock` gives the time at which events were added; `versions`: those it may offer."""
        self._clock = clock
        self._versions = frozenset(versions)
        self._tables = Tables()
        self._turn = asyncio.Lock()

    def add_tenant(
        self,
        tenant_id: str,
        *,
        status: Literal["active", "suspended"] = "active",
        sagas_in_flight: int = 50,
    ) -> None:
        """Or changes it. Call it outside of groups."""
        self._tables.tenants[tenant_id] = Tenant(status, sagas_in_flight)

    async def add_order(self, order: Order) -> None:
        async with self._writing() as tables:
            tables.orders[order.order_id] = (order, None)

    def letters(self) -> list[Letter]:
        return list(self._tables.letters.values())

    def order_result(self, order_id: UUID) -> str | None:
        return self._tables.orders[order_id][1]

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with self._writing() as tables:
            yield MemoryGroup(tables, self._clock(), self._versions)

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        return await MemoryGroup(self._tables, self._clock(), self._versions).load(keys)

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        async with self.group() as group:
            await group.save(changes, events)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Tables]:
        async with self._turn:
            draft = self._tables.copy()
            yield draft
            self._tables = draft

    async def due(self, now: datetime, *, limit: int) -> list[SagaKey]:
        times = {key: row.wake_at for key, row in self._tables.sagas.items() if self._knows(key)}
        ripe = sorted((at, key) for key, at in times.items() if at is not None and at <= now)
        return [key for _, key in ripe[:limit]]

    async def postpone(self, keys: Collection[SagaKey], now: datetime) -> None:
        async with self._writing() as tables:
            for key in keys:
                row = tables.sagas.get(key)
                if row is not None and row.wake_at is not None and row.wake_at <= now:
                    tables.sagas[key] = row.woken_at(needed_at(row.state()))

    async def open_orders(self, *, limit: int) -> list[Order]:
        orders = self._tables.orders.values()
        known = [order for order, result in orders if result is None and self._knows(order.key)]
        return [self._with_letter(order) for order in known[:limit]]

    def _with_letter(self, order: Order) -> Order:
        if order.letter is None:
            return order
        return replace(order, letter=self._tables.letters[order.letter.queue, order.letter.message_id])

    def _knows(self, key: SagaKey | None) -> bool:
        """Nothing is known against a saga that does not exist."""
        row = None if key is None else self._tables.sagas.get(key)
        return row is None or row.saga_version in self._versions

    async def events_before(self, moment: datetime, *, limit: int) -> list[EventOut]:
        old = [(at, event.event_id) for event, at in self._tables.events.values() if at < moment]
        return [self._tables.events[event_id][0] for _, event_id in sorted(old)[:limit]]

    async def delete_events(self, ids: Collection[UUID]) -> None:
        async with self._writing() as tables:
            for event_id in ids:
                tables.events.pop(event_id, None)

    async def gauges(self) -> Gauges:
        sagas = self._tables.sagas.values()
        unfinished = [row.created_at for row in sagas if row.status in {"waiting", "running", "unwinding"}]
        return Gauges(
            waiting=sum(row.status == "waiting" for row in sagas),
            in_flight=sum(row.in_flight for row in sagas),
            parked=sum(row.status == "parked" for row in sagas),
            open_dead_letters=sum(letter.status == "open" for letter in self._tables.letters.values()),
            events_waiting=len(self._tables.events),
            oldest_unfinished=min(unfinished, default=None),
        )
