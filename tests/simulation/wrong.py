"""What bugs are made of: each does one thing wrong, in the place of what does it right."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from orchestrator.bus.publish import publisher_of
from orchestrator.core.log import Parked
from orchestrator.run import letters
from orchestrator.run.group import _Session
from orchestrator.run.items import Answered, Outbox
from steps.runtime.batch import Answers
from steps.runtime.consume import Consumer
from steps.runtime.effects_memory import EffectRow, MemoryEffects
from steps.runtime.ruling import Run, rule
from steps.runtime.step import Owing
from tests.simulation import toys
from tests.simulation.books import Books
from tests.simulation.broker import NAMES
from tests.simulation.databases import SimulatedMemory, WatchedGroup
from tests.simulation.processes import CURRENT
from tests.simulation.publisher import SimulatedPublisher

LATER = 0.2
"""Seconds."""


async def does_nothing(*_arguments: Any) -> None:
    pass


def publishes_later(*arguments: Any) -> Callable[[Outbox], Any]:
    """The orchestrator's sources are acknowledged before what they led to is published."""
    publish = publisher_of(*arguments)

    async def later(outbox: Outbox) -> None:
        await asyncio.sleep(LATER)
        await publish(outbox)

    async def begin(outbox: Outbox) -> None:
        CURRENT.get().spawn(later(outbox))

    return begin


class RepliesLater(Consumer):
    """Commands are acknowledged before their answer is published."""

    async def publish(self, answers: Answers) -> None:
        CURRENT.get().spawn(self._later(answers))

    async def _later(self, answers: Answers) -> None:
        await asyncio.sleep(LATER)
        await Consumer.publish(self, answers)


_reserve = toys.reserve_quota


def counts_at_once(world: Any, books: Books, command: Command) -> Outcome:
    """A part of the effect is committed by itself."""
    outcome = _reserve(world, books, command)
    if isinstance(outcome, Done):
        world.memory.tables.content._count(command.tenant_id, held=command.request["leads"])
    return outcome


class AnswersFirst(SimulatedMemory):
    """A failure is told first, and stored a little later."""

    @asynccontextmanager
    async def transaction(self, *tenants: str, name: str | None = None) -> AsyncIterator[Any]:
        async with super().transaction(*tenants, name=name) as effects:
            yield _Delayed(self, effects)


class _Delayed:
    def __init__(self, memory: AnswersFirst, effects: Any) -> None:
        self._memory = memory
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._effects, name)

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        late = [pair for pair in answered if not isinstance(pair[1], Done)]
        await self._effects.save_answers([pair for pair in answered if pair not in late])
        if late:
            CURRENT.get().spawn(self._later(late))

    async def _later(self, late: list[tuple[Command, Outcome]]) -> None:
        await asyncio.sleep(LATER)
        with suppress(OSError, asyncpg.PostgresError):
            async with SimulatedMemory.transaction(self._memory) as effects:
                known = await effects.lock([command for command, _ in late])
                still = [
                    (command, outcome)
                    for (command, outcome), effect in zip(late, known, strict=True)
                    if isinstance(rule(effect, command.direction, command.attempt), Run)
                ]
                await effects.save_answers(still)


async def overwrites(self: MemoryEffects, answered: Sequence[tuple[Command, Outcome | Owing]]) -> None:
    """Whoever is first, the last one's answer is kept, with what it did."""
    for command, outcome in answered:
        key = (command.tenant_id, command.saga_id, command.step, command.direction)
        self.connection.effects[key] = EffectRow()
        if isinstance(outcome, Owing):
            await self.owe([command])
        else:
            await self.save_answers([(command, outcome)])


class EventsBeside(WatchedGroup):
    """Events are published after the commit, and kept nowhere."""

    async def save(self, changes: Any, events: Any = ()) -> None:
        await super().save(changes)


class EventsAhead(WatchedGroup):
    """Events are published before the commit."""

    async def save(self, changes: Any, events: Any = ()) -> None:
        await super().save(changes, events)
        process = CURRENT.get()
        publisher = SimulatedPublisher(process, process.world.broker)
        publish = publisher_of(publisher, NAMES, {}, lambda _: None)
        process.spawn(publish(Outbox(events=list(events))))


_answered = _Session._answered


def resends_always(self: _Session, item: Answered) -> None:
    stale = self.report.stale
    _answered(self, item)
    if self.report.stale > stale:
        self.work[item.reply.tenant_id, item.reply.saga_id].resend = True


def resends_never(self: _Session, item: Answered) -> None:
    _answered(self, item)
    work = self.work.get((item.reply.tenant_id, item.reply.saga_id))
    if work is not None:
        work.resend = False


@asynccontextmanager
async def looks_at_nothing(self: Any, name: str = "checkpoint", /, **_outside: str) -> AsyncIterator[Any]:
    async with self._effects(name) as effects:
        await effects.lock([self.command])
        yield effects.connection


def closes_letters_early(self: _Session, work: Any) -> None:
    if work.before.state.status == "parked":
        self.decided.closed.append((work.before.key, letters.closing(work.entries)))
    for entry in work.entries:
        if isinstance(entry, Parked) and entry.error != "DeadLettered":
            self.decided.letters.append(letters.parked(self.around.new_id, *work.command, entry))
