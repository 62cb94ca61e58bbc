"""The step that generates leads at work on a real Postgres, with a model that answers by a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.requests import LeadRequested
from steps.clients.model import CallReport, ModelAnswer, ModelAway, ModelRefused, Prompt, Slots
from steps.generate_leads import STEP
from steps.leads.prompt import LEADS_PER_CALL
from steps.runtime.batch import run_batch
from steps.runtime.single import run_single
from steps.runtime.step import Batch, Single
from tests.kit.tenants_at_work import TenantsAtWork

AT = datetime(2026, 11, 21, tzinfo=UTC)
Asked = dict[str, Any]
Script = Callable[[Asked], ModelAnswer]


def lead(company: str, **changes: Any) -> dict[str, Any]:
    return {
        "company": company,
        "website": f"https://{company.lower()}.example",
        "contact_name": "Ada Moss",
        "contact_title": "CEO",
        "email": f"ada@{company.lower()}.example",
        "country": "DE",
        "reason": "It fits.",
        "score": 70,
    } | changes


def answer(leads: list[Any], text: str | None = None, **changes: Any) -> ModelAnswer:
    values: dict[str, Any] = {
        "text": json.dumps({"leads": leads}) if text is None else text,
        "stop_reason": "end_turn",
        "model": "claude-sonnet-5-5",
        "usage": {"input_tokens": 100, "output_tokens": 50},
        "request_id": "req_1",
        "started_at": AT,
        "seconds": 1.25,
    }
    return ModelAnswer(**values | changes)


def good(asked: Asked) -> ModelAnswer:
    return answer([lead(f"P{asked['part']}C{n}") for n in range(asked["leads"])])


def nothing(_: Asked) -> ModelAnswer:
    return answer([])


def declined(_: Asked) -> ModelAnswer:
    return answer([], text="", stop_reason="refusal")


def babble(_: Asked) -> ModelAnswer:
    return answer([], text="Sorry, I cannot do JSON today.")


def report(*, timed_out: bool = False) -> CallReport:
    return CallReport(
        model="claude-sonnet-5-5", request_id="req_2", started_at=AT, seconds=30, timed_out=timed_out
    )


def late(_: Asked) -> ModelAnswer:
    raise ModelAway("the model did not answer in time", report(timed_out=True), error="APITimeoutError")


def busy(seconds: float | None) -> Script:
    def refuse(_: Asked) -> ModelAnswer:
        raise ModelAway("the model is busy", report(), error="OverloadedError", retry_after=seconds)

    return refuse


def broke(_: Asked) -> ModelAnswer:
    raise ModelRefused("lead generation is out of order on our side", report(), error="spend_limit_reached")


@dataclass
class ScriptedModel:
    """Answers its calls one after the other by the script, and all further ones well."""

    script: list[Script] = field(default_factory=list)
    slots: Slots = field(default_factory=lambda: Slots(16))
    call_timeout: float = 30
    gate: asyncio.Event | None = None
    expected_side_by_side: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Asked] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def call(
        self, prompt: Prompt, schema: Mapping[str, Any], max_tokens: int, *, within: float | None = None
    ) -> ModelAnswer:
        asked = json.loads(prompt.user.removeprefix("<request>").removesuffix("</request>"))
        self.asked.append(asked)
        script = self.script.pop(0) if self.script else good
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight == self.expected_side_by_side:
            self.reached.set()
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
            return script(asked)
        finally:
            self.in_flight -= 1


@dataclass
class Generating:
    work: TenantsAtWork

    async def command(self, leads: int, tenant_id: str = "acme", **changes: Any) -> Command:
        exists = await self.work.admin.fetchval("SELECT true FROM tenants WHERE tenant_id = $1", tenant_id)
        if not exists:
            await self.work.tenant(tenant_id)
        request = {"tenant_id": tenant_id, "request_id": "r1", "criteria": "bakeries", "leads": leads}
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "saga_id": await self.work.saga(tenant_id),
            "saga": "lead",
            "request_id": "r1",
            "step": "generate_leads",
            "direction": "do",
            "attempt": 1,
            "last": False,
            "timeout": 30,
            "request": request,
        }
        return Command(**values | changes)

    async def run(
        self, command: Command, model: ScriptedModel, *, redelivered: bool = False
    ) -> Outcome | None:
        """The answer of the runtime; None when it keeps silent."""
        assert isinstance(STEP.do, Single)
        answers = await run_single(self.work.memory, STEP.do, model, command, redelivered=redelivered)
        return answers.replies[0].outcome if answers.replies else None

    async def discard(self, command: Command) -> None:
        assert isinstance(STEP.undo, Batch)
        undo = command.model_copy(update={"direction": "undo", "attempt": 1})
        replies = (await run_batch(self.work.memory, STEP.undo, [undo])).replies
        assert [Done()] == [reply.outcome for reply in replies]

    async def companies(self, saga_id: UUID) -> list[str]:
        query = "SELECT company FROM leads WHERE saga_id = $1 ORDER BY part, lead_id"
        return [row["company"] for row in await self.work.admin.fetch(query, saga_id)]

    async def calls(self, saga_id: UUID, *columns: str) -> list[tuple[Any, ...]]:
        query = f"SELECT {', '.join(columns)} FROM model_calls WHERE saga_id = $1 ORDER BY part"
        return [tuple(row) for row in await self.work.admin.fetch(query, saga_id)]

    async def until(self, query: str) -> None:
        """Returns as soon as the query says true."""
        async with asyncio.timeout(10):
            while not await self.work.admin.fetchval(query):
                pass


@asynccontextmanager
async def under_way(
    generating: Generating, command: Command, script: Sequence[Script] = (), *, redelivered: bool = False
) -> AsyncIterator[tuple[asyncio.Task[Outcome | None], asyncio.Event]]:
    """An attempt whose calls have all been made; they are answered when the event is set."""
    calls, answers = -(-command.asked(LeadRequested).leads // LEADS_PER_CALL), asyncio.Event()
    model = ScriptedModel(list(script), gate=answers, expected_side_by_side=calls)
    running = asyncio.create_task(generating.run(command, model, redelivered=redelivered))
    try:
        async with asyncio.timeout(20):
            await model.reached.wait()
            yield running, answers
    finally:
        running.cancel()
        await asyncio.wait([running])


def done(leads: int, *, calls: int, invalid: int = 0, duplicates: int = 0) -> Done:
    return Done(facts={"leads": leads, "invalid": invalid, "duplicates": duplicates, "calls": calls})
