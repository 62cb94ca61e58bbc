"""What a group works with: its surroundings, its sagas, and what is decided about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.messages import Command
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry, Requested, Resent
from orchestrator.core.machine import take
from orchestrator.core.news import News
from orchestrator.core.state import State
from orchestrator.run import speech, starter
from orchestrator.run.items import Outbox
from orchestrator.sagas import Sagas
from orchestrator.store.port import (
    Change,
    EventOut,
    Group,
    Letter,
    LetterStatus,
    Refusal,
    SagaKey,
    Store,
    Stored,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the core must not have: clock, chance, fresh identities. `limit`: sagas in flight at most."""

    store: Store
    sagas: Sagas
    clock: Callable[[], datetime]
    draw: Callable[[], float]
    new_id: Callable[[], UUID]
    limit: int


@dataclass(slots=True)
class Work:
    """One saga in this group: where it stood, what was appended, where it stands."""

    before: Stored
    saga: Saga
    state: State
    entries: list[Entry] = field(default_factory=list)
    resend: bool = False

    def take(self, news: News) -> list[Entry]:
        draft = take(self.saga, self.state, news)
        self.state = draft.state
        self.entries += draft.entries
        return draft.entries

    @property
    def change(self) -> Change:
        return Change(
            before=self.before,
            entries=tuple(self.entries),
            state=self.state,
            in_flight=starter.takes_place(self.saga, self.state),
        )

    @property
    def sends(self) -> bool:
        """Whether the command that is now awaited has to be sent: asked for, or due again, in this group."""
        asked = any(isinstance(entry, Requested | Resent) for entry in self.entries)
        return self.state.waits_for == "reply" and (asked or self.resend)

    @property
    def command(self) -> tuple[str, Command]:
        return speech.command_for(self.saga, self.before.key, self.before.request_id, self.state)


@dataclass(slots=True)
class Report:
    """What a group did, for logs and metrics."""

    outbox: Outbox = field(default_factory=Outbox)
    appended: list[tuple[SagaKey, Saga, Sequence[Entry]]] = field(default_factory=list)
    unknown: int = 0
    """Replies for sagas that do not exist."""
    foreign: int = 0
    """Replies for foreign sagas, let go."""
    stale: int = 0
    """Replies that nobody waits for any more."""


@dataclass(slots=True)
class Decided:
    """What a group writes."""

    changes: list[Change] = field(default_factory=list)
    events: list[EventOut] = field(default_factory=list)
    closed: list[tuple[SagaKey, LetterStatus]] = field(default_factory=list)
    """Sagas whose open dead letters are settled."""
    letters: list[Letter] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    orders: list[tuple[UUID, str]] = field(default_factory=list)

    @property
    def only_sagas(self) -> bool:
        return not (self.closed or self.letters or self.refusals or self.orders)

    async def write(self, group: Group) -> None:
        await group.save(self.changes, self.events)
        for key, status in self.closed:
            await group.close_letters(key, status)
        if self.letters:
            await group.bury(self.letters)
        if self.refusals:
            await group.audit(self.refusals)
        if self.orders:
            await group.finish_orders(self.orders)
