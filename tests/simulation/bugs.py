"""Bugs, seeded one at a time: small things put in the place of right ones. The simulation must find each."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import asyncpg

from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from orchestrator.bus.publish import publisher_of
from orchestrator.run.group import _Session
from orchestrator.run.items import Answered, Outbox
from steps.runtime.batch import Answers
from steps.runtime.consume import Consumer
from steps.runtime.ruling import Run, rule
from tests.kit import broken
from tests.simulation import toys
from tests.simulation.broker import NAMES, SimulatedPublisher
from tests.simulation.databases import SimulatedMemory, WatchedGroup
from tests.simulation.processes import CURRENT

HERE = "tests.simulation"
LATER = 0.2
EVOLVE = (
    "orchestrator.core.state.evolve",
    "orchestrator.core.moves.evolve",
    "orchestrator.run.group.evolve",
    "tests.kit.history.logs.evolve",
)
DECIDE = ("orchestrator.run.group.decide", "tests.kit.history.decisions.decide")
RULE = ("steps.runtime.batch.rule", "steps.runtime.single.rule", "steps.runtime.suspect.rule")


@dataclass(frozen=True, slots=True)
class Bug:
    """`finds`: the rule that it breaks. `names`: what is replaced, by `wrong`."""

    finds: str
    names: tuple[str, ...]
    wrong: Any

    @contextmanager
    def seeded(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in self.names:
                stack.enter_context(patch(name, self.wrong))
            yield


def publishes_later(*arguments: Any) -> Callable[[Outbox], Any]:
    """The orchestrator's sources are acknowledged before what they led to is published."""
    publish = publisher_of(*arguments)

    async def later(outbox: Outbox) -> None:
        await asyncio.sleep(LATER)
        await publish(outbox)

    async def begin(outbox: Outbox) -> None:
        CURRENT.get().spawn(later(outbox))

    return begin


class AnswersLater(Consumer):
    """Commands are acknowledged before their answer is published."""

    async def publish(self, answers: Answers) -> None:
        CURRENT.get().spawn(self._later(answers))

    async def _later(self, answers: Answers) -> None:
        await asyncio.sleep(LATER)
        await Consumer.publish(self, answers)


def counts_at_once(world: Any, books: Any, command: Command) -> Outcome:
    """A part of the effect is committed by itself."""
    outcome = toys.release_quota if command.direction == "undo" else _reserve
    answer = outcome(world, books, command)
    if isinstance(answer, Done) and command.direction == "do":
        world.memory.tables.content._count(command.tenant_id, held=command.request["leads"])
    return answer


_reserve = toys.reserve_quota


class AnswersFirst(SimulatedMemory):
    """A failure is told first, and stored a little later."""

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None, *, name: str | None = None) -> Any:
        async with super().transaction(tenant_id, name=name) as effects:
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
                await effects.save_answers(
                    [
                        (command, outcome)
                        for command, outcome in late
                        if isinstance(rule(known[command.saga_id], command.direction, command.attempt), Run)
                    ]
                )


class EventsBeside(WatchedGroup):
    """Events are published after the commit, and kept nowhere."""

    async def add_events(self, _events: Any) -> None:
        pass


class EventsAhead(WatchedGroup):
    """Events are published before the commit."""

    async def add_events(self, events: Any) -> None:
        await self._group.add_events(events)
        process = CURRENT.get()
        publisher = SimulatedPublisher(process, process.world.broker)
        publish = publisher_of(publisher, NAMES, {}, lambda _: None)
        process.spawn(publish(Outbox(events=list(events))))


_answered = _Session._answered


def resends_always(self: _Session, item: Answered) -> None:
    """Any stale answer sends the command that is awaited."""
    stale = self.report.stale
    _answered(self, item)
    if self.report.stale > stale:
        self.work[item.reply.tenant_id, item.reply.saga_id].resend = True


BUGS: dict[str, Bug] = {
    "orchestrator acks before it publishes": Bug(
        "no_command_is_lost", (f"{HERE}.roles.publisher_of",), publishes_later
    ),
    "step acks before it publishes": Bug("no_command_is_lost", (f"{HERE}.roles.Consumer",), AnswersLater),
    "effect outside the transaction": Bug("quota_adds_up", (f"{HERE}.toys.reserve_quota",), counts_at_once),
    "undo armed on success": Bug("rolled_back_sagas_leave_nothing", EVOLVE, broken.arms_on_success),
    "answer sent before it is committed": Bug(
        "rolled_back_sagas_leave_nothing", (f"{HERE}.roles.SimulatedMemory",), AnswersFirst
    ),
    "event kept outside its transaction": Bug(
        "everything_was_heard", (f"{HERE}.databases.WatchedGroup",), EventsBeside
    ),
    "event published before its transaction": Bug(
        "nothing_else_was_heard", (f"{HERE}.databases.WatchedGroup",), EventsAhead
    ),
    "no tombstone on undo": Bug("rolled_back_sagas_leave_nothing", RULE, broken.forgets_the_undo),
    "answered attempts run again": Bug("rolled_back_sagas_leave_nothing", RULE, broken.anyone_runs_again),
    "stale answer always resends": Bug(
        "commands_are_sent_as_the_log_says", ("orchestrator.run.group._Session._answered",), resends_always
    ),
}
