"""The orchestrator's groups on any store, with a clock that stands still and no broker."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal
from uuid import UUID

from contracts.messages import Command, Reply, reply_to
from contracts.outcomes import Done, Outcome
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.core.log import Entry
from orchestrator.run.group import process
from orchestrator.run.items import Answered, Asked, Item, Outbox
from orchestrator.run.loop import Loop
from orchestrator.run.work import Report, Surroundings
from orchestrator.sagas import sagas
from orchestrator.store.codec import read_entry
from orchestrator.store.memory import MemoryStore
from orchestrator.store.port import Order, SagaKey, Store
from tests.kit.store_world import World


class MemoryWorld:
    """A store in memory whose clock can be moved."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.store = MemoryStore(clock, versions=sagas())

    async def add_tenant(
        self, tenant_id: str, *, status: Literal["active", "suspended"] = "active", sagas_in_flight: int = 50
    ) -> None:
        self.store.add_tenant(tenant_id, status=status, sagas_in_flight=sagas_in_flight)

    async def add_order(self, order: Order) -> None:
        await self.store.add_order(order)

    async def order_result(self, order_id: UUID) -> str | None:
        return self.store.order_result(order_id)

    async def history(self, key: SagaKey) -> list[Entry]:
        row = self.store._tables.sagas.get(key)
        return [read_entry(text) for text in row.log] if row is not None else []

    async def letters(self) -> list[tuple[str, str, str]]:
        return sorted((letter.queue, letter.message_id, letter.status) for letter in self.store.letters())

    async def refusals(self) -> list[tuple[str, str, str]]:
        return [(each.tenant_id, each.routing_key, each.user) for each in self.store._tables.refusals]


@dataclass(slots=True)
class Time:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Engine:
    world: World
    time: Time
    around: Surroundings

    async def handle(self, *items: Item) -> Report:
        """One group; nothing of it is published."""
        return await process(self.around, items)

    async def ask(self, *requests: LeadRequested | CancelRequested | RefundRequested) -> Report:
        return await self.handle(*(Asked(request) for request in requests))

    async def begin(self, request: LeadRequested) -> Command:
        """Accepted and started: the command for its first step."""
        return only(await self.ask(request))

    async def answer(
        self, command: Command, outcome: Outcome | None = None, *, redelivered: bool = False
    ) -> Report:
        return await self.handle(Answered(reply(command, outcome), redelivered))

    async def status(self, command: Command) -> str:
        key = (command.tenant_id, command.saga_id)
        async with self.world.store.group() as group:
            return (await group.load([key]))[key].state.status

    def loop(self, publish: Callable[[Outbox], Awaitable[None]], store: Store | None = None) -> Loop:
        around = self.around if store is None else replace(self.around, store=store)
        return Loop(around, publish, lambda _: None)


def make_engine(world: World, time: Time, limit: int = 1000) -> Engine:
    numbers = count(1)
    around = Surroundings(
        store=world.store,
        sagas=sagas(),
        clock=time,
        draw=lambda: 0.5,
        new_id=lambda: UUID(int=next(numbers)),
        limit=limit,
    )
    return Engine(world, time, around)


def reply(command: Command, outcome: Outcome | None = None) -> Reply:
    """Done, unless told otherwise."""
    return reply_to(command, outcome or Done(facts={"leads": 3}))


def commands(outbox: Outbox) -> Sequence[Command]:
    return [command for queued in outbox.commands.values() for command in queued]


def only(report: Report) -> Command:
    (command,) = commands(report.outbox)
    return command


def said(report: Report) -> list[tuple[str, str]]:
    """(tenant, event) of the events in the outbox."""
    return [(event.tenant_id, event.event) for event in report.outbox.events]


def lead(number: int, tenant: str = "acme", leads: int = 3) -> LeadRequested:
    return LeadRequested(
        tenant_id=tenant, request_id=f"r-{number}", criteria="makers of bicycles", leads=leads
    )
