"""Commands as the orchestrator sends them, and steps whose effects can be counted."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from contracts.events import Event, Failed
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.step import Attempt, Batch, Connection, Owing, Single, Step

PROBE = "reserve_quota"
PROBE_UNDO = "release_quota"
"""The probe borrows the queues of a real step, so that test prefixes know them."""

_LEAD = """
INSERT INTO leads (tenant_id, lead_id, saga_id, part, dedupe_key, company, website, contact_name,
                   contact_title, email, country, reason, score)
SELECT current_tenant(), gen_random_uuid(), $1, 1, gen_random_uuid()::text, 'Moss', 'https://moss.example',
       'Ada', 'CEO', 'ada@moss.example', 'DE', 'It fits.', least(n, 100)
FROM generate_series(1, $2) AS n
"""


def command(tenant_id: str, saga_id: UUID, step: str = PROBE, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "saga_id": saga_id,
        "saga": "lead",
        "request_id": f"r-{saga_id}",
        "step": step,
        "direction": "do",
        "attempt": 1,
        "last": False,
        "timeout": 10,
        "request": {},
    }
    return Command(**values | changes)


def lead_command(tenant_id: str, saga_id: UUID, step: str, *, leads: int = 10, **changes: Any) -> Command:
    """Of a saga that began with a request for `leads` leads."""
    request_id = f"r-{saga_id}"
    request = {"tenant_id": tenant_id, "request_id": request_id, "criteria": "bakeries", "leads": leads}
    return command(tenant_id, saga_id, step, request=request, **changes)


def refund_command(
    tenant_id: str, saga_id: UUID, of: Command, *, leads: int | None = None, **changes: Any
) -> Command:
    """Gives back `leads` leads (all that is left by default) of the request that `of` belongs to."""
    request = {
        "tenant_id": tenant_id,
        "refund_id": f"f-{saga_id}",
        "request_id": of.request_id,
        "leads": leads,
        "reason": "bounced",
        "requested_by": "ann",
    }
    values = {"saga": "refund", "request_id": of.request_id, "request": request}
    return command(tenant_id, saga_id, "refund_usage", **values | changes)


def undo(done: Command, attempt: int = 1) -> Command:
    return done.model_copy(update={"direction": "undo", "attempt": attempt})


def attempt(of: Command, number: int) -> Command:
    return of.model_copy(update={"attempt": number})


async def add_drafts(connection: Connection, saga_id: UUID, leads: int) -> None:
    """For the tenant that is set on the connection."""
    await connection.execute(_LEAD, saga_id, leads)


Scripted = Outcome | Owing | Exception | Callable[[Connection], Any]


@dataclass
class BatchProbe:
    """A Postgres step: each `do` leaves one draft lead, each `undo` takes the saga's drafts away."""

    script: dict[UUID, Scripted] = field(default_factory=dict)
    """What the do of a saga answers, raises, or does with the connection; Done by default."""
    ran: list[Command] = field(default_factory=list)
    bundles: list[list[Command]] = field(default_factory=list)
    announced: list[list[Command]] = field(default_factory=list)

    async def run(self, connection: Connection, commands: Sequence[Command]) -> list[Outcome | Owing]:
        self.bundles.append(list(commands))
        return [await self._one(connection, each) for each in commands]

    async def _one(self, connection: Connection, each: Command) -> Outcome | Owing:
        self.ran.append(each)
        await add_drafts(connection, each.saga_id, 1)
        scripted = self.script.get(each.saga_id, Done(facts={"attempt": each.attempt}))
        if isinstance(scripted, Exception):
            raise scripted
        if callable(scripted):
            await scripted(connection)
            return Done()
        return scripted

    async def take_back(self, connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
        self.ran += commands
        ids = [each.saga_id for each in commands]
        await connection.execute("DELETE FROM leads WHERE saga_id = ANY($1::uuid[])", ids)
        return [Done() for _ in commands]

    async def announce(self, connection: Connection, commands: Sequence[Command]) -> list[Event]:
        self.announced.append(list(commands))
        now = await connection.fetchval("SELECT now()")
        return [
            Failed(
                event_id=each.saga_id, tenant_id=each.tenant_id, request_id=each.request_id, saga=each.saga,
                saga_id=each.saga_id, at=now, reason="for the test",
            )
            for each in commands
        ]  # fmt: skip

    def do(self) -> Batch:
        return Batch(run=self.run, announce=self.announce)

    def step(self) -> Step:
        return Step(name=PROBE, do=self.do(), undo_name=PROBE_UNDO, undo=Batch(run=self.take_back))


@dataclass
class SingleProbe:
    """A step that calls an outside world: it says when, waits at `gate`, and checkpoints a draft."""

    outcome: Outcome | Exception = field(default_factory=Done)
    gate: asyncio.Event | None = None
    called: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    raised: list[BaseException] = field(default_factory=list)

    async def run(self, each: Command, at: Attempt) -> Outcome:
        self.calls += 1
        self.called.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            async with at.transaction(vendor_id=f"v{each.attempt}") as connection:
                await add_drafts(connection, each.saga_id, 1)
        except BaseException as error:
            self.raised.append(error)
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def do(self) -> Single:
        return Single(run=self.run)


def stranger() -> UUID:
    """The id of a saga that does not exist."""
    return uuid4()
