"""Asks the model for leads and keeps the good ones as drafts; taking it back discards the drafts.

Each call is on record before it is made, and a checkpoint after it: what it brought is stored at once and
stays, whatever becomes of the attempt, and the next attempt asks only for what is missing. M leads of N are a
success once no more are to be hoped for.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.facts import LeadsGenerated
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected, Transient
from contracts.requests import LeadRequested
from steps.clients.anthropic import open_model
from steps.clients.model import ModelAway, ModelRefused
from steps.leads.calls import Answered, Asking, CallResult, Declined, NotAsked
from steps.leads.drafts import Progress, discard, progress_of
from steps.leads.prompt import Part, split
from steps.runtime.step import Attempt, Batch, Connection, Fenced, Single, Step

MARGIN = 0.1
"""Of the attempt's time, kept for its last checkpoints and its answer."""

DECLINED = "the model declined to work on these criteria"
NOTHING_FOUND = "the model found no lead that matches these criteria"
UNUSABLE = "the model's answers could not be used"
NO_TIME = "the model did not answer in time"


@dataclass(slots=True)
class Tally:
    """What this attempt brought, call by call."""

    before: Progress
    wanted: int
    companies: list[str] = field(default_factory=list)
    results: list[CallResult] = field(default_factory=list)

    def add(self, result: CallResult) -> None:
        self.results.append(result)
        if isinstance(result, Answered):
            self.companies += result.companies

    @property
    def found(self) -> list[str]:
        return [*self.before.companies, *self.companies]

    @property
    def missing(self) -> int:
        return max(0, self.wanted - len(self.found))

    @property
    def answered(self) -> list[Answered]:
        return [result for result in self.results if isinstance(result, Answered)]

    @property
    def next_parts(self) -> list[Part]:
        return split(self.missing, self.before.next_part + len(self.results))

    @property
    def worth_more_calls(self) -> bool:
        """Leads are missing though every call was answered: some had to be dropped."""
        answered = self.answered
        every = len(answered) == len(self.results)
        return self.missing > 0 and every and any(answer.wasteful for answer in answered)

    def facts(self) -> LeadsGenerated:
        asked = [result for result in self.results if not isinstance(result, NotAsked)]
        return LeadsGenerated(
            leads=len(self.found),
            invalid=self.before.invalid + sum(answer.invalid for answer in self.answered),
            duplicates=self.before.duplicates + sum(answer.duplicates for answer in self.answered),
            calls=self.before.calls + len(asked),
        )


async def generate_leads(command: Command, attempt: Attempt) -> Outcome:
    deadline = asyncio.get_running_loop().time() + command.timeout * (1 - MARGIN)
    request = command.asked(LeadRequested)
    async with attempt.transaction("progress") as connection:
        before = await progress_of(connection, command)
    tally = Tally(before, request.leads)
    asking = Asking(command, request, attempt, before.side_by_side, deadline)
    await ask_all(asking, tally)
    if tally.worth_more_calls:
        await ask_all(asking, tally)
    return conclude(command, tally)


async def ask_all(asking: Asking, tally: Tally) -> None:
    """Side by side, as far as the limits allow. The first error, Fenced for one, ends all calls."""
    found = tally.found
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asking.ask(part, found)) for part in tally.next_parts]
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    for task in tasks:
        tally.add(task.result())


def first_of(errors: ExceptionGroup[Exception]) -> Exception:
    """Fenced before all others: it means that nothing may be written, not even an outcome."""
    return next((error for error in errors.exceptions if isinstance(error, Fenced)), errors.exceptions[0])


def conclude(command: Command, tally: Tally) -> Outcome:
    """What cannot get better is final: every lead is there, no call failed in a way that may pass, the
    provider refuses for good, or this was the last attempt."""
    done = Done(facts=tally.facts().model_dump(mode="json"))
    if tally.missing == 0:
        return done
    again = None if any(isinstance(result, ModelRefused) for result in tally.results) else retry_of(tally)
    if again and not command.last:
        return again
    return done if tally.found else refusal_of(command, tally, again)


def retry_of(tally: Tally) -> Transient | None:
    """None when another attempt has nothing to hope for."""
    failed = [result for result in tally.results if isinstance(result, ModelAway)]
    progress = bool(tally.companies)
    if failed:
        waits = [error.retry_after for error in failed if error.retry_after is not None]
        return Transient(
            reason=failed[0].reason,
            error=failed[0].error,
            retry_after=max(waits, default=None),
            progress=progress,
        )
    if any(isinstance(result, NotAsked) for result in tally.results):
        return Transient(reason=NO_TIME, error=NotAsked.__name__, progress=progress)
    declined = any(isinstance(result, Declined) for result in tally.results)
    if not tally.found and not declined and any(answer.wasteful for answer in tally.answered):
        return Transient(reason=UNUSABLE, error="UnusableAnswers")
    return None


def refusal_of(command: Command, tally: Tally, spent: Transient | None) -> Rejected:
    """The reason is read by the requester: no internals, nothing of the model's or the provider's text."""
    for result in tally.results:
        if isinstance(result, ModelRefused):
            return Rejected(reason=result.reason, error=result.error)
    if spent:
        attempts = f"{command.attempt} attempt{'s' if command.attempt > 1 else ''}"
        return Rejected(reason=f"{spent.reason} ({attempts})", error=spent.error)
    if any(isinstance(result, Declined) for result in tally.results):
        return Rejected(reason=DECLINED, error=Declined.__name__)
    return Rejected(reason=NOTHING_FOUND, error="NothingFound")


async def discard_leads(connection: Connection, commands: Sequence[Command]) -> Sequence[Outcome]:
    await discard(connection, commands[0].tenant_id, [command.saga_id for command in commands])
    return [Done() for _ in commands]


STEP = Step(
    name="generate_leads",
    do=Single(run=generate_leads),
    undo_name="discard_leads",
    undo=Batch(run=discard_leads),
    client=open_model,
)
