"""Running commands that only touch Postgres: a whole bundle in one transaction, in the best case.

Inside, each tenant has its own savepoint, tenants and sagas in sorted order. What cannot be done together is
done one by one, so that a bad command fails alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.errors import StepError, StepTransient
from contracts.events import Event
from contracts.messages import Command, Reply, reply_to
from contracts.outcomes import Done, Outcome, Transient
from contracts.process import logs
from contracts.process.postgres import AGAIN, AWAY
from steps.runtime.effects import Effects, Memory, NoSaga
from steps.runtime.failures import declared
from steps.runtime.ruling import Owed, Repeat, Run, Stale, rule
from steps.runtime.step import Batch, Owing

log = logs.get("runtime")

LUCK = 5
"""How often a unit of work that lost a race (deadlock, serialization) is tried again at once."""

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


async def run_batch(memory: Memory, work: Batch, commands: Sequence[Command]) -> Answers:
    """Never fails for a reason of its commands. Raises what `AWAY` lists while the database is away, and
    `AGAIN` when not even failures could be stored."""
    if len(commands) > 1:
        try:
            return await _together(memory, work, commands)
        except AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - one of many may be at fault: each is then run alone
            log.info("bundle_taken_apart", commands=len(commands), **logs.fault(error))
    answers = Answers()
    for command in commands:
        answers.add(await run_alone(memory, work, command))
    return answers


async def run_alone(memory: Memory, work: Batch, command: Command) -> Answers:
    """One command, whose failure is its own. Its transaction was rolled back then, so nothing happened."""
    for _ in range(LUCK):
        try:
            return await _together(memory, work, [command])
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
    except Exception as error:  # noqa: BLE001 - nothing can be kept of this command: it must not stop others
        log.warning("answer_not_stored", **logs.fault(error))
        return Answers(dead=[(command, UNANSWERABLE)])


async def _answer(memory: Memory, work: Batch, command: Command, outcome: Outcome) -> Answers:
    """Commits a failure. The row is locked first: if the effect did commit after all, that is the answer."""
    async with memory.transaction(command.tenant_id, name="batch.failed") as effects:
        effect = (await effects.lock([command]))[command.saga_id]
        ruling = rule(effect, command.direction, command.attempt)
        if isinstance(ruling, Repeat):
            return await _repeat(effects, work, [(command, ruling)])
        if isinstance(ruling, Run):
            await effects.save_answers([(command, outcome)])
            return Answers(replies=[reply_to(command, outcome)])
        return Answers()


async def _together(memory: Memory, work: Batch, commands: Sequence[Command]) -> Answers:
    answers = Answers()
    limit = max(command.timeout for command in commands)
    step, direction = commands[0].step, commands[0].direction
    transaction = memory.transaction(name=f"batch.{step}.{direction}")
    try:
        async with asyncio.timeout(limit) as timer, transaction as effects:
            for tenant_id, mine in _by_tenant(commands):
                async with effects.of(tenant_id):
                    answers.add(await _tenant(effects, work, mine))
    except TimeoutError:
        if timer.expired():
            raise StepTransient(f"not done within {limit:g} s", error="TimedOut") from None
        raise
    return answers


def _by_tenant(commands: Sequence[Command]) -> list[tuple[str, list[Command]]]:
    """Sorted, so that concurrent bundles never lock in opposite orders. Of equal attempts one is enough."""
    mine: dict[str, dict[object, Command]] = defaultdict(dict)
    for command in sorted(commands, key=lambda each: (each.tenant_id, each.saga_id, each.attempt)):
        mine[command.tenant_id][command.saga_id] = command
    return [(tenant_id, list(found.values())) for tenant_id, found in sorted(mine.items())]


async def _tenant(effects: Effects, work: Batch, commands: list[Command]) -> Answers:
    known = await effects.lock(commands)
    to_run: list[Command] = []
    repeats: list[tuple[Command, Repeat]] = []
    for command in commands:
        match rule(known[command.saga_id], command.direction, command.attempt):
            case Run():
                to_run.append(command)
            case Repeat() as repeat:
                repeats.append((command, repeat))
            case Owed() | Stale():
                pass
    answers = await _repeat(effects, work, repeats)
    if to_run:
        answers.add(await _run(effects, work, to_run))
    return answers


async def _run(effects: Effects, work: Batch, commands: list[Command]) -> Answers:
    outcomes = await work.run(effects.connection, commands)
    pairs = list(zip(commands, outcomes, strict=True))
    answered = [(command, outcome) for command, outcome in pairs if not isinstance(outcome, Owing)]
    await effects.save_answers(answered)
    await effects.owe([command for command, outcome in pairs if isinstance(outcome, Owing)])
    return Answers(
        replies=[reply_to(command, outcome) for command, outcome in answered],
        events=await _announce(effects, work, answered),
    )


async def _repeat(effects: Effects, work: Batch, repeats: Sequence[tuple[Command, Repeat]]) -> Answers:
    answered = [(command, repeat.outcome) for command, repeat in repeats]
    return Answers(
        replies=[reply_to(command, repeat.outcome, repeat.attempt) for command, repeat in repeats],
        events=await _announce(effects, work, answered),
    )


async def _announce(
    effects: Effects, work: Batch, answered: Sequence[tuple[Command, Outcome]]
) -> list[Event]:
    done = [command for command, outcome in answered if isinstance(outcome, Done)]
    if work.announce is None or not done:
        return []
    return list(await work.announce(effects.connection, done))
