"""Running one attempt that calls an outside world: several short transactions around a long call.

Every one that writes an effect locks the step's effects row first and refuses when the step was undone,
answered, or taken over meanwhile: to look once, before a call of half a minute, is not enough.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from contracts.errors import StepError
from contracts.messages import Command, reply_to
from contracts.outcomes import Outcome, Rejected, Transient, Unknown
from contracts.process import logs
from contracts.process.postgres import AWAY
from steps.runtime.batch import Answers
from steps.runtime.effects import Effects, Memory, NoSaga
from steps.runtime.failures import declared
from steps.runtime.patience import patiently
from steps.runtime.ruling import Repeat, Run, rule
from steps.runtime.step import Connection, Fenced, Single

log = logs.get("runtime")

MAX_STARTS = 3
"""An attempt begun this often without an answer kills whoever runs it: it is dead-lettered."""

POISON = "it was begun 3 times and its process died each time"


class DatabaseAway(ConnectionError):
    """The database went away when the attempt had begun, or nobody knows whether it had. That is no answer of
    the step's, so no attempt is spent on it."""


@dataclass(frozen=True, slots=True)
class LockedAttempt:
    """Implements the Attempt that step functions see."""

    memory: Memory
    command: Command
    client: Any
    run: int

    @asynccontextmanager
    async def transaction(self, name: str = "checkpoint", /, **outside: str) -> AsyncIterator[Connection]:
        command = self.command
        async with self._effects(name) as effects:
            [effect] = await effects.lock([command])
            running = isinstance(rule(effect, command.direction, command.attempt), Run)
            if not running or effect.run != self.run:
                raise Fenced(command.saga_id)
            yield effects.connection
            if outside:
                await effects.note_outside(command, outside)

    @asynccontextmanager
    async def note(self, name: str = "note", /) -> AsyncIterator[Connection]:
        async with self._effects(name) as effects:
            yield effects.connection

    @asynccontextmanager
    async def _effects(self, name: str) -> AsyncIterator[Effects]:
        step, tenant_id = self.command.step, self.command.tenant_id
        try:
            async with self.memory.transaction(tenant_id, name=f"single.{step}.{name}") as effects:
                yield effects
        except AWAY as error:
            raise DatabaseAway(type(error).__name__) from error


async def run_single(  # noqa: PLR0913 - the last three are flags of the delivery
    memory: Memory,
    work: Single,
    client: Any,
    command: Command,
    *,
    redelivered: bool,
    resumed: bool = False,
    forgiving: bool = True,
) -> Answers:
    """One attempt from its first lock to its committed answer. Raises DatabaseAway (call it again, as
    `resumed`), what `AWAY` and `AGAIN` list when it had begun nothing, and CancelledError when the process
    stops: the command then comes again, and this beginning counts only if it is not `forgiving`. Redelivered
    or resumed, it takes over from any other run of the attempt, which is fenced from then on."""
    try:
        begun = await _begin(memory, command, redelivered=redelivered, resumed=resumed)
    except NoSaga as error:
        return Answers(dead=[(command, str(error))])
    if isinstance(begun, Answers):
        return begun
    try:
        outcome = await _attempt(work, command, LockedAttempt(memory, command, client, begun.run))
    except Fenced:
        return Answers()
    except asyncio.CancelledError:
        if forgiving:
            await asyncio.shield(interrupted(memory, command, begun.run))
        raise
    # The outside world has been asked: an answer that cannot be stored just now is not worth asking again.
    answer = outcome if begun.first else _as_doubtful(command, outcome)
    return await patiently(partial(_finish, memory, command, answer, begun.run))


def _as_doubtful(command: Command, outcome: Outcome) -> Outcome:
    """An earlier run of this attempt ended without a word and may have had an effect. That this run had none
    proves nothing about it, so the refusal must not disarm the undo."""
    if command.direction == "undo":
        return outcome
    match outcome:
        case Rejected() | Transient(progress=False):
            return Unknown(reason=outcome.reason, error=outcome.error)
        case _:
            return outcome


@dataclass(frozen=True, slots=True)
class _Begun:
    first: bool
    """No earlier run of the same attempt began and never answered."""
    run: int


async def _begin(memory: Memory, command: Command, *, redelivered: bool, resumed: bool) -> Answers | _Begun:
    marking = False
    try:
        async with memory.transaction(command.tenant_id, name="single.begin") as effects:
            [effect] = await effects.lock([command])
            ruling = rule(effect, command.direction, command.attempt)
            if isinstance(ruling, Repeat):
                return Answers(replies=[reply_to(command, ruling.outcome, ruling.attempt)])
            if not isinstance(ruling, Run):
                return Answers()
            # The orchestrator sends a command again when its answer is late. Its first copy is still held by
            # the broker, which delivers it again (flagged) should its runner have died: do not run beside it.
            if not (redelivered or resumed) and await effects.is_running(command):
                return Answers()
            marking = True
            start = await effects.mark_started(command, resumed=resumed)
            if start.starts > MAX_STARTS:
                return Answers(dead=[(command, POISON)])
            return _Begun(first=effect.attempt < command.attempt, run=start.run)
    except AWAY as error:
        if marking:
            raise DatabaseAway(type(error).__name__) from error
        raise


async def _attempt(work: Single, command: Command, attempt: LockedAttempt) -> Outcome:
    try:
        async with asyncio.timeout(command.timeout) as timer:
            return await work.run(command, attempt)
    except (Fenced, DatabaseAway):
        raise
    except StepError as error:
        return declared(error)
    except Exception as error:  # noqa: BLE001 - what is not proved is Unknown
        if timer.expired():
            return Unknown(reason=f"no result within {command.timeout:g} s", error="TimedOut")
        log.warning("step_failed", **logs.fault(error))
        return Unknown(reason="the step failed unexpectedly", error=type(error).__name__)


async def _finish(memory: Memory, command: Command, outcome: Outcome, run: int) -> Answers:
    async with memory.transaction(command.tenant_id, name="single.finish") as effects:
        [effect] = await effects.lock([command])
        ruling = rule(effect, command.direction, command.attempt)
        if isinstance(ruling, Repeat):
            return Answers(replies=[reply_to(command, ruling.outcome, ruling.attempt)])
        if not isinstance(ruling, Run) or effect.run != run:
            return Answers()
        await effects.save_answers([(command, outcome)])
        return Answers(replies=[reply_to(command, outcome)])


async def interrupted(memory: Memory, command: Command, run: int) -> None:
    """Best effort: an orderly stop, or the loss of the broker, must not count as a death."""
    transaction = memory.transaction(command.tenant_id, name="single.interrupted")
    try:
        async with asyncio.timeout(2), transaction as effects:
            await effects.unmark_started(command, run)
    except Exception as error:  # noqa: BLE001 - the process stops anyway; the count has some slack
        log.info("interruption_not_noted", **logs.fault(error))
