"""One call for a part of a request, from its turn to its checkpoint."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.messages import Command
from contracts.process import logs
from contracts.requests import LeadRequested
from steps.clients.model import Model, ModelAnswer, ModelAway, ModelRefused
from steps.leads.drafts import store
from steps.leads.parse import Answer, parse
from steps.leads.pricing import cost_of
from steps.leads.prompt import SCHEMA, Part, max_tokens, prompt_for
from steps.leads.records import CallOutcome, CallRecord, Counts, begin, settle
from steps.runtime.step import Attempt, Connection, Fenced

log = logs.get("generate_leads")

SHORTEST_CALL = 1.0
"""Seconds; with less than that left of the attempt a call is not worth its tokens."""

BOOKING_TIME = 2.0
"""Seconds that an attempt which has to end may still take to note what a call cost."""

LOOK_AGAIN = 0.5
"""Seconds between two looks whether a call of the tenant has ended elsewhere, or its limit was raised."""

SETTLING_TIME = 5.0
"""Seconds after its own time until a call that is still on record as begun is taken for lost."""

CUT = frozenset({"max_tokens", "model_context_window_exceeded"})
UNREADABLE = "UnreadableAnswer"


@dataclass(frozen=True, slots=True)
class Answered:
    """`companies` are the new drafts. Their number may be anything from none to what was asked for."""

    companies: Sequence[str] = ()
    invalid: int = 0
    duplicates: int = 0
    whole: bool = True
    """False when the answer was cut or could not be read."""

    @property
    def wasteful(self) -> bool:
        """The model had more to give than what could be kept of its answer."""
        return bool(self.invalid or self.duplicates or not self.whole)


@dataclass(frozen=True, slots=True)
class Declined:
    """The model itself would not answer."""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The attempt's time was over before the call's turn came."""


CallResult = Answered | Declined | NotAsked | ModelAway | ModelRefused


@dataclass(frozen=True, slots=True)
class Asking:
    """What all calls of one attempt share."""

    command: Command
    request: LeadRequested
    attempt: Attempt
    side_by_side: int
    deadline: float
    """On the event loop's clock: the attempt ends in good order before its time limit ends it."""

    async def ask(self, part: Part, found: Sequence[str]) -> CallResult:
        """Everything that is known of the call is committed when this returns. Raises Fenced."""
        model: Model = self.attempt.client
        call_id = uuid7()
        prompt = prompt_for(self.request, part, found)
        try:
            begin_before = self.deadline - SHORTEST_CALL
            async with model.slots.take(self.command.tenant_id, self.side_by_side, begin_before):
                if not await self._begun(call_id, part):
                    return NotAsked()
                # Once begun it is made, even if the record took long to write.
                within = max(self._time_left, SHORTEST_CALL)
                answer = await model.call(prompt, SCHEMA, max_tokens(part), within=within)
        except (ModelAway, ModelRefused) as error:
            await self._note_failure(call_id, part, error)
            return error
        except TimeoutError:
            return NotAsked()
        return await self._keep(call_id, part, answer)

    async def _begun(self, call_id: UUID, part: Part) -> bool:
        """Waits until the tenant may make one call more, as long as there is time for it."""
        longest = self.attempt.client.call_timeout + SETTLING_TIME
        while self._time_left >= SHORTEST_CALL:
            async with self.attempt.transaction("call") as connection:
                if await begin(connection, self.command, call_id, part.number, longest=longest):
                    return True
            await asyncio.sleep(LOOK_AGAIN)
        return False

    @property
    def _time_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    async def _keep(self, call_id: UUID, part: Part, answer: ModelAnswer) -> CallResult:
        declined = answer.stop_reason == "refusal"
        read = Answer() if declined else parse(answer.text, part.leads)
        outcome: CallOutcome = "refused" if declined else "answered"
        if answer.stop_reason in CUT:
            outcome = "truncated"
        call = CallRecord(
            call_id=call_id,
            model=answer.model,
            outcome=outcome,
            error=None if read.readable else UNREADABLE,
            provider_id=answer.request_id,
            cost=cost_of(answer.model, answer.usage, answer.started_at),
            started_at=answer.started_at,
            seconds=answer.seconds,
        )
        async with self._checkpoint(call) as connection:
            stored = await store(connection, self.command, part.number, read.leads, wanted=self.request.leads)
            duplicates = read.duplicates + stored.duplicates
            counts = Counts(leads=len(stored.companies), invalid=read.invalid, duplicates=duplicates)
            await settle(connection, self.command, call, counts)
        if declined:
            return Declined()
        return Answered(stored.companies, read.invalid, duplicates, read.readable and outcome != "truncated")

    async def _note_failure(self, call_id: UUID, part: Part, error: ModelAway | ModelRefused) -> None:
        report = error.report
        log.warning("model_call_failed", error=error.error, part=part.number, seconds=report.seconds)
        call = CallRecord(
            call_id=call_id,
            model=report.model,
            outcome="timed_out" if report.timed_out else "failed",
            error=error.error,
            provider_id=report.request_id,
            started_at=report.started_at,
            seconds=report.seconds,
        )
        async with self._checkpoint(call) as connection:
            await settle(connection, self.command, call)

    @asynccontextmanager
    async def _checkpoint(self, call: CallRecord) -> AsyncIterator[Connection]:
        """Tokens are ours to pay, whatever became of the saga: when nothing else may be written any more,
        because the attempt is fenced or has to end, what the call cost is booked all the same."""
        try:
            async with self.attempt.transaction("checkpoint") as connection:
                yield connection
        except (Fenced, asyncio.CancelledError):
            # When one call is fenced its siblings are cancelled, also those that are booking already.
            await to_the_end(self._book(call))
            raise

    async def _book(self, call: CallRecord) -> None:
        # Should the database be away as well, the call stays on record as begun.
        with suppress(OSError):
            async with asyncio.timeout(BOOKING_TIME), self.attempt.note("book") as connection:
                await settle(connection, self.command, call)


async def to_the_end(work: Coroutine[None, None, None]) -> None:
    """Awaits work that no cancellation may break off; it has to limit its own time."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()
