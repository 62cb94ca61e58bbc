"""Stand-ins for what a step's background job is given: a worker, Stripe and Discord, failing when told to."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from contracts.errors import StepRejected
from contracts.messages import Reply
from contracts.process.postgres import Database
from steps.clients.billing import UsageUnknown

When = Literal["before", "after"]


class Crash(Exception):
    """The process ended here."""


class CrashingDatabase(Database):
    """Ends the process before its `at`-th transaction (counted from 1) begins, or after it was committed."""

    def __init__(self, database: Database, at: int, when: When) -> None:
        super().__init__(database.pool)
        self._left = at
        self._when = when

    @asynccontextmanager
    async def transaction(
        self, tenant_id: str | None = None, *, bundle: Sequence[str] = (), name: str | None = None
    ) -> AsyncIterator[Any]:
        self._left -= 1
        if self._left == 0 and self._when == "before":
            raise Crash
        async with super().transaction(tenant_id, bundle=bundle, name=name) as connection:
            yield connection
        if self._left == 0 and self._when == "after":
            raise Crash


@dataclass
class FakeWorker:
    database: Database
    client: Any
    time_scale: float = 1.0
    visits: int = 16
    replies: list[Reply] = field(default_factory=list)
    broken: int = 0
    """So many publishes fail, the replies perhaps delivered."""
    waits: list[float] = field(default_factory=list)

    async def wake(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def answer(self, replies: Sequence[Reply]) -> None:
        self.replies += replies
        if self.broken:
            self.broken -= 1
            raise Crash


@dataclass
class FakeStripe:
    """Deduplicates by identifier and replays the success of a key, as Stripe does within 24 h, and tells
    totals."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By identifiers that are remembered."""
    kept: set[str] = field(default_factory=set)
    """Keys whose success would be repeated."""
    forgotten: list[dict[str, Any]] = field(default_factory=list)
    """Events that count, and whose identifiers would be taken anew."""
    totals: list[Any] = field(default_factory=list)
    """What the next readings of a total bring instead of the truth: a number, or an exception."""
    reads: int = 0
    calls_per_second: float = 1000.0
    reads_per_second: float = 1000.0
    failures: list[tuple[When, Exception]] = field(default_factory=list)
    """Of the next calls: raised before or after the event was taken."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """Customers whose calls hang until the gate opens."""
    called: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    in_flight: int = 0
    most_in_flight: int = 0

    async def send_usage(
        self,
        *,
        identifier: str,
        customer: str,
        event_name: str,
        value: int,
        at: datetime,
        idempotency_key: str,
    ) -> object:
        call = {"customer": customer, "event_name": event_name, "value": value, "at": at}
        self.calls.append({**call, "identifier": identifier, "key": idempotency_key})
        self.called[customer].set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if customer in self.gates:
                await self.gates[customer].wait()
            when, failure = self.failures.pop(0) if self.failures else ("after", None)
            if isinstance(failure, StepRejected) and idempotency_key in self.kept:
                failure = None
            if failure is not None and when == "before":
                raise failure
            assert self.taken.setdefault(identifier, call) == call, "one identifier, two meanings"
            if not (isinstance(failure, UsageUnknown) and failure.stored):
                self.kept.add(idempotency_key)
            if failure is not None:
                raise failure
            return "taken"
        finally:
            self.in_flight -= 1

    def forget(self) -> None:
        """A day has passed."""
        self.forgotten += self.taken.values()
        self.taken.clear()
        self.kept.clear()

    async def meter_of(self, event_name: str) -> str | None:
        return f"mtr_{event_name}"

    async def event_summary(self, meter: str, customer: str, start: datetime, end: datetime) -> int:
        self.reads += 1
        told = self.totals.pop(0) if self.totals else None
        if isinstance(told, BaseException):
            raise told
        counted = [
            event["value"]
            for event in (*self.forgotten, *self.taken.values())
            if (f"mtr_{event['event_name']}", event["customer"]) == (meter, customer)
            and start <= event["at"] < end
        ]
        return sum(counted) if told is None else told

    async def invoice_of(self, customer: str, event_name: str, at: datetime) -> None:
        """It never makes one: the sandbox does."""

    def billed(self, customer: str) -> int:
        events = (*self.forgotten, *self.taken.values())
        return sum(event["value"] for event in events if event["customer"] == customer)


@dataclass
class FakeDiscord:
    posts: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    failures: list[tuple[When, Exception]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, url: str, embeds: Sequence[dict[str, Any]]) -> None:
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        when, failure = self.failures.pop(0) if self.failures else ("after", None)
        if failure is not None and when == "before":
            raise failure
        self.posts.append((url, list(embeds)))
        if failure is not None:
            raise failure
