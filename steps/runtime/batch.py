"""Running commands that only touch Postgres: a whole bundle in one transaction, in the best case.

What is asked for the first time, as far as the broker knows, is done, and then answered by the INSERT that
makes its rows of effects: who finds a row there was not first, and has done nothing (decision 0024). All else
locks the rows before it begins. Either is for all tenants at once; what the step itself does is done for one
tenant after the other, in sorted order, under that tenant alone. What cannot be done together is done one by
one, so that a bad command fails alone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import asyncpg

from contracts.errors import StepError, StepTransient
from contracts.events import Event
from contracts.messages import Command, Reply, reply_to
from contracts.outcomes import Done, Outcome, Transient
from contracts.process import logs
from contracts.process.postgres import AGAIN, AWAY
from steps.runtime.effects import Effects, Memory, NoSaga, NotFirst
from steps.runtime.failures import declared
from steps.runtime.ruling import Effect, Repeat, Run, rule
from steps.runtime.step import Batch, Noted, Owing

log = logs.get("runtime")

LUCK = 5
"""How often a unit of work that lost a race (deadlock, serialization) is tried again at once."""

ASKED_BEFORE = (NotFirst, asyncpg.PostgresError)
"""How it may show that somebody was first: by the row of effects, or by what else is there already."""

NOTHING = Effect()
"""Is known of what is asked for the first time."""

UNANSWERABLE = "it failed, and the database cannot hold its answer"


@dataclass(slots=True)
class Answers:
    """What a bundle led to, to be published before it is acknowledged."""

    replies: list[Reply] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    dead: list[tuple[Command, str]] = field(default_factory=list)

    def add(self, other: "Answers") -> None:
        self.replies += other.replies
        self.events += other.events
        self.dead += other.dead


async def run_batch(
    memory: Memory, work: Batch, commands: Sequence[Command], *, fresh: bool = False
) -> Answers:
    """`fresh`: none of them is delivered again. Never fails for a reason of its commands. Raises what `AWAY`
    lists while the database is away, and `AGAIN` when not even failures could be stored."""
    first = fresh and all(command.direction == "do" and command.attempt == 1 for command in commands)
    if len(commands) > 1:
        try:
            return await _whole(memory, work, commands, first=first)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - one of many may be at fault: each is then run alone
            log.info("bundle_taken_apart", commands=len(commands), **logs.fault(error))
            first = False
    answers = Answers()
    for command in commands:
        answers.add(await run_alone(memory, work, command, first=first))
    return answers


async def _whole(memory: Memory, work: Batch, commands: Sequence[Command], *, first: bool) -> Answers:
    if first:
        try:
            return await _together(memory, work, commands, first=True)
        except AWAY:
            raise
        except ASKED_BEFORE as error:
            log.info("asked_before", commands=len(commands), **logs.fault(error))
    return await _together(memory, work, commands, first=False)


async def run_alone(memory: Memory, work: Batch, command: Command, *, first: bool = False) -> Answers:
    """One command, whose failure is its own. Its transaction was rolled back then, so nothing happened."""
    for _ in range(LUCK):
        try:
            return await _whole(memory, work, [command], first=first)
        except AWAY:
            raise
        except AGAIN:
            continue
        except NoSaga as error:
            return Answers(dead=[(command, str(error))])
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes this command's answer
            return await _fail(memory, work, command, _outcome_of(error))
    busy = Transient(reason="the database was too busy", error="Contention")
    return await _fail(memory, work, command, busy)


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, StepError):
        return declared(error)
    log.warning("step_failed", **logs.fault(error))
    return Transient(reason="the step failed unexpectedly", error=type(error).__name__)


async def _fail(memory: Memory, work: Batch, command: Command, outcome: Outcome) -> Answers:
    try:
        return await _answer(memory, work, command, outcome)
    except (*AWAY, *AGAIN):
        raise
    except NoSaga as error:  # the step refused it before anybody asked whether there is such a saga
        return Answers(dead=[(command, str(error))])
    except Exception as error:  # noqa: BLE001 - nothing can be kept of this command: it must not stop others
        log.warning("answer_not_stored", **logs.fault(error))
        return Answers(dead=[(command, UNANSWERABLE)])


async def _answer(memory: Memory, work: Batch, command: Command, outcome: Outcome) -> Answers:
    """Commits a failure. The row is locked first: if the effect did commit after all, that is the answer."""
    async with memory.transaction(command.tenant_id, name="batch.failed") as effects:
        [effect] = await effects.lock([command])
        ruling = rule(effect, command.direction, command.attempt)
        if isinstance(ruling, Repeat):
            return Answers(
                replies=[reply_to(command, ruling.outcome, ruling.attempt)],
                events=await _announce(effects, work, [(command, ruling.outcome)]),
            )
        if isinstance(ruling, Run):
            await effects.save_answers([(command, outcome)])
            return Answers(replies=[reply_to(command, outcome)])
        return Answers()


async def _together(memory: Memory, work: Batch, commands: Sequence[Command], *, first: bool) -> Answers:
    limit = max(command.timeout for command in commands)
    step, direction = commands[0].step, commands[0].direction
    wanted = _in_order(commands)
    tenants = dict.fromkeys(command.tenant_id for command in wanted)
    transaction = memory.transaction(*tenants, name=f"batch.{step}.{direction}")
    try:
        async with asyncio.timeout(limit) as timer, transaction as effects:
            return await _carry_out(effects, work, wanted, first=first)
    except TimeoutError:
        if timer.expired():
            raise StepTransient(f"not done within {limit:g} s", error="TimedOut") from None
        raise


def _in_order(commands: Sequence[Command]) -> list[Command]:
    """By tenant and saga, so that concurrent bundles never lock in opposite orders. Of several attempts the
    last one is enough."""
    wanted: dict[object, Command] = {}
    for command in sorted(commands, key=lambda each: (each.tenant_id, each.saga_id.int, each.attempt)):
        wanted[command.tenant_id, command.saga_id] = command
    return list(wanted.values())


async def _carry_out(effects: Effects, work: Batch, commands: list[Command], *, first: bool) -> Answers:
    """`commands` are sorted."""
    known = [NOTHING] * len(commands) if first else await effects.lock(commands)
    rulings = [
        (command, rule(effect, command.direction, command.attempt))
        for command, effect in zip(commands, known, strict=True)
    ]
    # What is owed, or stale, is answered by others.
    ruled = [(command, ruling) for command, ruling in rulings if isinstance(ruling, Run | Repeat)]
    bundle, several = _Bundle(effects, work), commands[0].tenant_id != commands[-1].tenant_id
    for tenant_id, mine in groupby(ruled, key=lambda pair: pair[0].tenant_id):
        if several:
            effects.work_for(tenant_id)
        await bundle.carry_out(list(mine))
    if several:
        effects.work_for(None)
    await bundle.save(first=first)
    return bundle.answers


@dataclass(slots=True)
class _Bundle:
    """What comes of one, as long as its transaction is under way."""

    effects: Effects
    work: Batch
    answers: Answers = field(default_factory=Answers)
    ran: list[tuple[Command, Outcome | Owing]] = field(default_factory=list)
    outside: list[tuple[Command, Mapping[str, str]]] = field(default_factory=list)

    async def carry_out(self, mine: list[tuple[Command, Run | Repeat]]) -> None:
        """Commands of one tenant, whose turn it is."""
        to_run = [command for command, ruling in mine if isinstance(ruling, Run)]
        ran = await self._run(to_run) if to_run else []
        self.ran += ran
        repeats = [(command, ruling) for command, ruling in mine if isinstance(ruling, Repeat)]
        repeated = [(command, repeat.outcome) for command, repeat in repeats]
        self.answers.events += await _announce(self.effects, self.work, [*ran, *repeated])
        self.answers.replies += [
            reply_to(command, repeat.outcome, repeat.attempt) for command, repeat in repeats
        ]

    async def _run(self, commands: list[Command]) -> list[tuple[Command, Outcome | Owing]]:
        ran = list[tuple[Command, Outcome | Owing]]()
        words = await self.work.run(self.effects.connection, commands)
        for command, said in zip(commands, words, strict=True):
            if isinstance(said, Noted):
                self.outside.append((command, said.outside))
            ran.append((command, said.outcome if isinstance(said, Noted) else said))
        return ran

    async def save(self, *, first: bool) -> None:
        answered = [(command, outcome) for command, outcome in self.ran if not isinstance(outcome, Owing)]
        if first:
            await self.effects.save_first(self.ran)
        else:
            await self.effects.save_answers(answered)
            await self.effects.owe([command for command, outcome in self.ran if isinstance(outcome, Owing)])
        for command, ids in self.outside:
            await self.effects.note_outside(command, ids)
        self.answers.replies += [reply_to(command, outcome) for command, outcome in answered]


async def _announce(
    effects: Effects, work: Batch, answered: Sequence[tuple[Command, Outcome | Owing]]
) -> list[Event]:
    done = [command for command, outcome in answered if isinstance(outcome, Done)]
    if work.announce is None or not done:
        return []
    return list(await work.announce(effects.connection, done))
