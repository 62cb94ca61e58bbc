"""The seven steps as toys: written against the real runtime, on books in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import asyncpg

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.events import LEADS_PER_EVENT, Event, Lead, LeadsReady
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected, Transient
from steps.runtime.effects_memory import Tables
from steps.runtime.step import Attempt, Batch, Owing, Single, Step
from tests.simulation.books import Books, key_of
from tests.simulation.clock import NOON
from tests.simulation.flush import Flush, report
from tests.simulation.processes import CURRENT
from tests.simulation.telling import Telling, hear, notify

if TYPE_CHECKING:
    from tests.simulation.world import World

Toy = Callable[["World", Books, Command], Outcome | Owing]
"""What one command does to the books of its tenant."""

PLAIN = {
    "company": "Moss",
    "website": "https://moss.example",
    "contact_name": "Ada",
    "contact_title": "CEO",
    "email": "ada@moss.example",
    "country": "DE",
    "reason": "It fits.",
    "score": 50,
}


def steps_of(world: "World") -> list[Step]:
    def batch(toy: Toy, announce: Any = None) -> Batch:
        return Batch(run=_bundle(world, toy), announce=announce)

    def generating(command: Command, attempt: Attempt) -> Awaitable[Outcome]:
        return generate_leads(world, command, attempt)

    return [
        Step(
            name="reserve_quota",
            do=batch(reserve_quota),
            undo_name="release_quota",
            undo=batch(release_quota),
        ),
        Step(
            name="generate_leads",
            do=Single(run=generating, side_by_side=2),
            undo_name="discard_leads",
            undo=batch(discard_leads),
        ),
        Step(name="record_usage", do=batch(record_usage, announce=leads_ready)),
        Step(name="report_to_stripe", do=batch(report), job=Flush(world)),
        Step(
            name="notify_discord",
            do=batch(notify),
            job=Telling(world),
            hears=("failed", "parked"),
            heard=hear,
        ),
        Step(name="refund_usage", do=batch(refund_usage)),
        Step(name="refund_at_stripe", do=batch(report)),
    ]


def _bundle(world: "World", toy: Toy) -> Any:
    async def run(tables: Tables, commands: Sequence[Command]) -> list[Outcome | Owing]:
        outcomes = list[Outcome | Owing]()
        for command in commands:
            perhaps_poison(world, command)
            outcomes.append(toy(world, tables.content, command))
            # What goes wrong now takes back what was just written.
            await stumble(world, command)
        return outcomes

    return run


async def stumble(world: "World", command: Command) -> None:
    chance, ill = world.chance, world.scenario.ill.get((command.step, command.direction), 0.0)
    if chance.random() >= max(world.weather.stumble, ill):
        return
    match chance.randrange(7):
        case 0:
            raise RuntimeError("a bug")
        case 1:
            raise StepUnknown("who knows", error="WhoKnows")
        case 2 if command.direction == "do":
            raise StepRejected("not today", error="NotToday")
        case 3:
            raise asyncpg.LockNotAvailableError
        case 4:
            await asyncio.sleep(2 * command.timeout)
        case _:
            raise StepTransient("busy", error="Busy")


def perhaps_poison(world: "World", command: Command) -> None:
    """Kills its process, as often as is planned for this command."""
    name = command.request.get("request_id"), command.step, command.direction
    if world.scenario.poison.get(name, 0) > 0:
        world.scenario.poison[name] -= 1
        world.victims[*key_of(command), *name[1:], command.attempt] += 1
        CURRENT.get().kill(f"poisonous {command.direction} {command.step}")
        raise asyncio.CancelledError


def reserve_quota(_world: "World", books: Books, command: Command) -> Outcome:
    wanted, free = command.request["leads"], books.free(command.tenant_id)
    if wanted > free:
        return Rejected(reason=f"over quota: {free} are left", error="OverQuota")
    books.hold(key_of(command), wanted)
    return Done(facts={"leads": wanted})


def release_quota(_world: "World", books: Books, command: Command) -> Outcome:
    books.release(key_of(command))
    return Done()


async def generate_leads(world: "World", command: Command, attempt: Attempt) -> Outcome:
    """Asks until nothing is missing. What was found is kept at once, whatever becomes of the attempt."""
    key, wanted = key_of(command), command.request["leads"]
    async with attempt.transaction("begin") as tables:
        found = before = tables.content.drafts.get(key, 0)
    try:
        for _ in range(2):
            if found >= wanted:
                break
            perhaps_poison(world, command)
            more = await attempt.client.ask(key, wanted - found)
            async with attempt.transaction(call=f"{command.attempt}") as tables:
                tables.content.drafts[key] = found = tables.content.drafts.get(key, 0) + more
    except StepError as error:
        if found and (command.last or isinstance(error, StepRejected)):
            return Done(facts={"leads": found})
        if found > before and isinstance(error, StepTransient):
            return Transient(reason=error.reason, progress=True)
        raise
    return Done(facts={"leads": found}) if found else Rejected(reason="nothing found", error="NothingFound")


def discard_leads(_world: "World", books: Books, command: Command) -> Outcome:
    books.drafts.pop(key_of(command), None)
    return Done()


def record_usage(world: "World", books: Books, command: Command) -> Outcome:
    ledger_id, most = world.new_id(), command.request["leads"]
    leads = books.deliver(key_of(command), ledger_id, command.request_id, most)
    if not leads:
        return Rejected(reason="no valid lead was found", error="NoLeads")
    return Done(facts={"leads": leads, "ledger_id": str(ledger_id)})


async def leads_ready(tables: Tables, commands: Sequence[Command]) -> list[Event]:
    return [event for command in commands for event in _parts(command, tables.content)]


def _parts(command: Command, books: Books) -> list[Event]:
    total = books.visible.get(key_of(command), 0)
    starts = range(0, total, LEADS_PER_EVENT)
    return [
        LeadsReady(
            event_id=uuid5(command.saga_id, f"leads_ready {part}"),
            tenant_id=command.tenant_id,
            request_id=command.request_id,
            saga=command.saga,
            saga_id=command.saga_id,
            at=NOON,
            part=part,
            parts=len(starts),
            total=total,
            leads=[
                Lead(lead_id=uuid5(command.saga_id, str(number)), **PLAIN)
                for number in range(start, min(start + LEADS_PER_EVENT, total))
            ],
        )
        for part, start in enumerate(starts, 1)
    ]


def refund_usage(world: "World", books: Books, command: Command) -> Outcome:
    asked = command.request["leads"]
    usage = books.usage_of(command.tenant_id, command.request["request_id"])
    if usage is None:
        raise StepRejected("nothing was billed", error="NothingBilled")
    left = books.left_of(usage)
    leads = left if asked is None else asked
    if leads > left or left == 0:
        raise StepRejected("more than was billed", error="MoreThanBilled")
    ledger_id = world.new_id()
    books.give_back(key_of(command), ledger_id, usage, leads)
    facts = {"leads": leads, "ledger_id": str(ledger_id), "original_id": str(usage.ledger_id)}
    return Done(facts=facts)
