"""What the run loop needs of a store. `memory` and `postgres` implement it and pass one shared suite."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from contracts.ids import Direction
from orchestrator.core.log import Entry
from orchestrator.core.state import State

SagaKey = tuple[str, UUID]
"""(tenant_id, saga_id); sagas are always written in the order of their keys."""

SagaVersion = tuple[str, int]
"""(saga, version)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request that wants to begin a saga; `saga_id` is the id it gets if it is new."""

    tenant_id: str
    saga: str
    request_id: str
    content_hash: bytes
    saga_id: UUID


@dataclass(frozen=True, slots=True)
class Admitted:
    """New: nothing but the request is remembered yet; `Group.save` must create the saga in this group."""

    key: SagaKey


@dataclass(frozen=True, slots=True)
class Attached:
    """The same request came before and began this saga."""

    key: SagaKey


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


Admission = Admitted | Attached | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One saga as it stands. `entries` is the length of its log."""

    key: SagaKey
    saga: str
    version: int
    request_id: str
    entries: int
    state: State


@dataclass(frozen=True, slots=True)
class Foreign:
    """A saga of a version that this process does not know. Its state may hold what this release cannot read,
    so it is not even looked at: it waits for a process that knows the version."""

    key: SagaKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New log entries of one saga and the state they lead to. `before` has the length of the log so far."""

    before: Stored
    entries: tuple[Entry, ...]
    state: State
    in_flight: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOut:
    """An event for upstream; the same `event_id` again is ignored while it waits."""

    event_id: UUID
    tenant_id: str
    event: str
    body: str


LetterStatus = Literal["open", "replayed", "resolved", "moot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter. Unique by (queue, message_id): burying it again keeps one row, seen once more and last
    then, which is open again if it is buried open."""

    dead_letter_id: UUID
    queue: str
    """Where it died."""
    message_id: str
    error: str
    reason: str
    message: bytes
    """Of the queue it died in: published there again, it is the same message."""
    routing_key: str | None = None
    """It came with."""
    tenant_id: str | None = None
    saga_id: UUID | None = None
    saga: str | None = None
    step: str | None = None
    direction: Direction | None = None
    attempt: int | None = None
    status: LetterStatus = "open"
    times_seen: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request in the name of a tenant (`tenant_id`, of whom nobody knows whether it exists) by somebody who
    may not speak for it. `message_id`: of its dead letter."""

    tenant_id: str
    routing_key: str
    user: str
    """Who sent it, as the broker has checked; empty if that was not said."""
    reason: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Either about a saga (`key`), standing where it stood when this was ordered (`at`: step, direction and
    attempt), or about a dead letter that belongs to none."""

    order_id: UUID
    key: SagaKey | None
    kind: Literal["cancel", "replay", "resolve"]
    verdict: Literal["done", "not_done"] | None
    actor: str
    reason: str
    at: tuple[str, Direction, int] | None = None
    letter: Letter | None = None
    """As it lies there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Who may start: `free` places in all, `room` per tenant (how many more sagas of it may be in flight),
    and `waiting` sagas in the order of their turns: round-robin over tenants, the one with the fewest in
    flight first, the oldest saga first within one."""

    free: int
    room: dict[str, int]
    waiting: tuple[SagaKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Counts over all tenants, for metrics. `oldest_unfinished` is the creation time of the oldest saga that
    is waiting, running or unwinding."""

    waiting: int
    in_flight: int
    parked: int
    open_dead_letters: int
    events_waiting: int
    oldest_unfinished: datetime | None


class Group(Protocol):
    """One transaction. Leaving its context commits; an exception rolls everything back."""

    async def admit(self, requests: Sequence[Incoming]) -> list[Admission]:
        """One answer a request, in order. Two equal ids within one call are treated as one after the other.
        Refused: an unknown or suspended tenant, or the same id with other content."""
        ...

    async def find(self, wanted: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], SagaKey]:
        """Sagas by (tenant_id, saga, request_id); what does not exist is left out."""
        ...

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        """As they stand; ones that do not exist are left out. Nothing is locked: `save` refuses what was
        decided on a state that is not the last one."""
        ...

    async def turns(self, *, limit: int, tenants: Collection[str]) -> Turns:
        """At most `limit` sagas may be in flight over all tenants. `room` covers `tenants` and those of
        `waiting`. The waiting sagas are locked; ones locked by another group are passed over."""
        ...

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        """Appends to the logs, saves the states, and keeps the events until they are deleted. Raises
        LogConflict, and the group is lost, if a log is not as long as its change says: somebody else was
        faster."""
        ...

    async def bury(self, letters: Sequence[Letter]) -> None: ...

    async def audit(self, refusals: Sequence[Refusal]) -> None:
        """Remembers who spoke in whose name. One that is delivered again is remembered again."""
        ...

    async def close_letters(self, key: SagaKey, status: LetterStatus) -> None:
        """All open dead letters of a saga's commands get this status."""
        ...

    async def mark_replayed(self, letter: Letter) -> bool:
        """False if it is not as it was read: it died once more, or somebody dealt with it."""
        ...

    async def finish_orders(self, results: Sequence[tuple[UUID, str]]) -> None: ...


class Store(Protocol):
    """Is told which saga versions its process knows. Sagas of others are left to other processes: they are
    not due, get no turn, and what was ordered for them stays."""

    def group(self) -> AbstractAsyncContextManager[Group]: ...

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        """As a group does."""
        ...

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        """As a group that does nothing else, in less time."""
        ...

    async def due(self, now: datetime, *, limit: int) -> list[SagaKey]:
        """Sagas whose wake time has come, oldest first. One found early (its due time and deadline lie ahead)
        must be given to `postpone`."""
        ...

    async def postpone(self, keys: Collection[SagaKey], now: datetime) -> None:
        """Moves wake times that were reached up to the saga's due time or deadline, whichever is first."""
        ...

    async def open_orders(self, *, limit: int) -> list[Order]: ...

    async def events_before(self, moment: datetime, *, limit: int) -> list[EventOut]:
        """Events that should have left long ago, oldest first."""
        ...

    async def delete_events(self, ids: Collection[UUID]) -> None: ...

    async def gauges(self) -> Gauges: ...
