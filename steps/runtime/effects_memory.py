"""The step side's memory in memory, for the simulation: the same promises, no chance and no clock of its own.

Answers are kept as they are: that some text cannot be stored is only seen on Postgres.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, Self
from uuid import UUID

from contracts.ids import Direction
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.effects import NoSaga, NotFirst, Start
from steps.runtime.ruling import Effect
from steps.runtime.step import Owing

EffectKey = tuple[str, UUID, str, Direction]
"""(tenant_id, saga_id, step, direction)"""


NOTHING = Effect()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    effect: Effect = NOTHING
    started_at: datetime | None = None
    starts: int = 0
    outside: dict[str, str] = field(default_factory=dict)


class Content(Protocol):
    """Whatever else steps keep."""

    def copy(self) -> Self: ...


@dataclass(slots=True)
class Tables:
    """Step functions get these as their connection."""

    content: Content
    effects: dict[EffectKey, EffectRow] = field(default_factory=dict)

    def copy(self) -> "Tables":
        return Tables(self.content.copy(), dict(self.effects))


class MemoryEffects:
    """Works on a draft of all tables."""

    def __init__(self, draft: Tables, now: datetime, exists: Callable[[str, UUID], bool]) -> None:
        self.connection = draft
        self._now = now
        self._exists = exists

    def work_for(self, tenant_id: str | None) -> None:
        pass

    async def lock(self, commands: Sequence[Command]) -> list[Effect]:
        rows, found = self.connection.effects, list[Effect]()
        for command in commands:
            if not self._exists(command.tenant_id, command.saga_id):
                raise NoSaga
            if command.direction == "undo":
                rows.setdefault(_key(command, "do"), EffectRow())
            found.append(rows.setdefault(_key(command), EffectRow()).effect)
        return found

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        for command, outcome in answered:
            done = isinstance(outcome, Done)
            effect = self.connection.effects[_key(command)].effect
            self._change(
                _key(command),
                attempt=max(effect.attempt, command.attempt),
                answered=command.attempt,
                answer=outcome,
                state="done" if done else effect.state,
                owed=False,
            )
            if done and command.direction == "undo":
                self._change(_key(command, "do"), state="undone")

    async def owe(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self._change(_key(command), attempt=command.attempt, owed=True)

    async def save_first(self, answered: Sequence[tuple[Command, Outcome | Owing]]) -> None:
        rows = self.connection.effects
        for command, outcome in answered:
            if not self._exists(command.tenant_id, command.saga_id):
                raise NoSaga
            if _key(command) in rows:
                raise NotFirst
            rows[_key(command)] = EffectRow()
            if isinstance(outcome, Owing):
                await self.owe([command])
            else:
                await self.save_answers([(command, outcome)])

    async def mark_started(self, command: Command, *, resumed: bool = False) -> Start:
        row = self.connection.effects[_key(command)]
        starts = 1
        if row.effect.attempt == command.attempt:
            starts = max(row.starts, 1) if resumed else row.starts + 1
        run = row.effect.run + 1
        effect = replace(row.effect, attempt=command.attempt, run=run)
        begun = replace(row, effect=effect, started_at=self._now, starts=starts)
        self.connection.effects[_key(command)] = begun
        return Start(starts, run)

    async def unmark_started(self, command: Command, run: int) -> None:
        row = self.connection.effects.get(_key(command))
        if row is not None and row.effect.attempt == command.attempt:
            since = None if row.effect.run == run else row.started_at
            stopped = replace(row, starts=max(row.starts - 1, 0), started_at=since)
            self.connection.effects[_key(command)] = stopped

    async def is_running(self, command: Command) -> bool:
        row = self.connection.effects[_key(command)]
        fresh = self._now - timedelta(seconds=command.timeout)
        begun = row.effect.attempt == command.attempt and row.effect.answered < command.attempt
        return begun and row.started_at is not None and row.started_at > fresh

    async def note_outside(self, command: Command, outside: Mapping[str, str]) -> None:
        row = self.connection.effects[_key(command)]
        self.connection.effects[_key(command)] = replace(row, outside=row.outside | dict(outside))

    def _change(self, key: EffectKey, **changes: object) -> None:
        row = self.connection.effects[key]
        self.connection.effects[key] = replace(row, effect=replace(row.effect, **changes))  # type: ignore[arg-type]  # the fields of an Effect


class VolatileMemory:
    """Transactions run one after the other."""

    def __init__(
        self, content: Content, clock: Callable[[], datetime], exists: Callable[[str, UUID], bool]
    ) -> None:
        """`exists`: whether a saga of a tenant exists."""
        self.tables = Tables(content)
        """As committed."""
        self._clock = clock
        self._exists = exists
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, *tenants: str, name: str | None = None) -> AsyncIterator[MemoryEffects]:
        del tenants, name  # nobody here could mistake one for another, and nothing here can be killed
        async with self._turn:
            effects = MemoryEffects(self.tables.copy(), self._clock(), self._exists)
            yield effects
            self.tables = effects.connection


def _key(command: Command, direction: Direction | None = None) -> EffectKey:
    return command.tenant_id, command.saga_id, command.step, direction or command.direction
