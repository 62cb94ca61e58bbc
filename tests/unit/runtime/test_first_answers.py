"""What is asked for the first time is done without a lock; who was not first says what is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from contracts.errors import StepRejected
from contracts.events import Event, Failed
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected
from steps.runtime.batch import Answers, run_batch
from steps.runtime.effects import NO_SAGA
from steps.runtime.effects_memory import MemoryEffects, Tables
from steps.runtime.step import OWING, Batch, Noted, Said
from tests.kit.commands import attempt, command, undo
from tests.kit.volatile import Drafts, VolatileWorld


@dataclass
class Probe:
    """A step that leaves a draft for each saga."""

    says: dict[Any, Said | Exception] = field(default_factory=dict)
    """Of a saga; Done by default."""
    bundles: list[list[Command]] = field(default_factory=list)

    async def run(self, tables: Tables, commands: Sequence[Command]) -> list[Said]:
        self.bundles.append(list(commands))
        words = [self.says.get(each.saga_id, Done()) for each in commands]
        for said in words:
            if isinstance(said, Exception):
                raise said
        assert isinstance(tables.content, Drafts)
        tables.content.sagas += tuple(each.saga_id for each in commands)
        return [said for said in words if not isinstance(said, Exception)]

    async def announce(self, _: Tables, commands: Sequence[Command]) -> list[Event]:
        return [
            Failed(
                event_id=each.saga_id, tenant_id=each.tenant_id, request_id=each.request_id, saga=each.saga,
                saga_id=each.saga_id, at=datetime(2026, 11, 21, tzinfo=UTC), reason="for the test",
            )
            for each in commands
        ]  # fmt: skip

    @property
    def work(self) -> Batch:
        return Batch(run=self.run, announce=self.announce)


@pytest.fixture
def world() -> VolatileWorld:
    return VolatileWorld()


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """Commands whose rows were locked."""
    found, lock = list[Command](), MemoryEffects.lock

    async def noted(self: MemoryEffects, commands: Sequence[Command]) -> Any:
        found.extend(commands)
        return await lock(self, commands)

    monkeypatch.setattr(MemoryEffects, "lock", noted)
    return found


async def of(world: VolatileWorld, *tenants: str) -> list[Command]:
    return [command(tenant, await world.saga(tenant)) for tenant in tenants]


def told(answers: Answers) -> dict[Any, Outcome]:
    return {reply.saga_id: reply.outcome for reply in answers.replies}


async def test_what_nobody_was_asked_before_is_done_and_answered_without_a_lock(world, locked):
    probe, commands = Probe(), await of(world, "acme", "globex", "acme")
    probe.says = {commands[1].saga_id: Rejected(reason="no"), commands[2].saga_id: OWING}
    answers = await run_batch(world.memory, probe.work, commands, fresh=True)

    assert {commands[0].saga_id: Done(), commands[1].saga_id: Rejected(reason="no")} == told(answers)
    assert [commands[0].saga_id] == [event.event_id for event in answers.events]
    assert [] == locked
    rows = world.memory.tables.effects
    effects = [rows[each.tenant_id, each.saga_id, each.step, "do"].effect for each in commands]
    assert [("done", False), ("open", False), ("open", True)] == [(each.state, each.owed) for each in effects]


@pytest.mark.parametrize("number", [1, 3])
async def test_where_somebody_was_first_what_is_known_is_said_and_announced_again(world, number):
    commands = await of(world, *["acme"] * number)
    known, *new = commands
    first = await run_batch(world.memory, Probe().work, [known], fresh=True)
    later = Probe(says={known.saga_id: Rejected(reason="not any more")})
    answers = await run_batch(world.memory, later.work, commands, fresh=True)

    assert told(first)[known.saga_id] == told(answers)[known.saga_id] == Done()
    assert {each.saga_id: Done() for each in commands} == told(answers)
    assert {each.saga_id for each in commands} == {event.event_id for event in answers.events}
    assert sorted(world.drafts) == sorted(each.saga_id for each in commands), "each once"
    assert [set_of(commands), *([set_of(new)] if new else [])] == list(map(set_of, later.bundles))


def set_of(commands: list[Command]) -> set[Any]:
    return {each.saga_id for each in commands}


async def test_what_was_forbidden_before_it_was_asked_does_nothing(world):
    [late] = await of(world, "acme")
    await run_batch(world.memory, Probe().work, [undo(late)], fresh=True)
    committed = world.drafts
    answers = await run_batch(world.memory, Probe().work, [late], fresh=True)

    assert ["Undone"] == [outcome.error for outcome in told(answers).values()]
    assert committed == world.drafts


async def test_what_fails_at_first_fails_alone_and_its_answer_stays_true(world):
    commands = await of(world, "acme", "acme", "globex")
    bad = commands[1]
    refused = StepRejected("no", error="No")
    probe = Probe(says={bad.saga_id: refused})
    first = await run_batch(world.memory, probe.work, commands, fresh=True)
    again = await run_batch(world.memory, Probe().work, commands, fresh=True)

    assert ["done", "rejected", "done"] == [told(first)[each.saga_id].kind for each in commands]
    assert told(first) == told(again)
    assert bad.saga_id not in world.drafts


async def test_what_fails_alone_at_first_is_not_run_twice(world):
    [bad] = await of(world, "acme")
    probe = Probe(says={bad.saga_id: StepRejected("no", error="No")})
    answers = await run_batch(world.memory, probe.work, [bad], fresh=True)

    assert ["rejected"] == [outcome.kind for outcome in told(answers).values()]
    assert [[bad]] == probe.bundles


@pytest.mark.parametrize("kind", ["delivered again", "a later attempt", "an undo"])
async def test_what_may_have_been_asked_before_is_locked_first(world, locked, kind):
    [asked] = await of(world, "acme")
    if kind == "a later attempt":
        asked = attempt(asked, 2)
    if kind == "an undo":
        asked = undo(asked)
    await run_batch(world.memory, Probe().work, [asked], fresh=kind != "delivered again")
    assert [asked] == locked


@pytest.mark.parametrize("fresh", [True, False])
async def test_ids_that_a_step_notes_with_its_outcome_are_kept(world, fresh):
    [noted, other] = await of(world, "acme", "globex")
    probe = Probe(says={noted.saga_id: Noted(Done(facts={"n": 1}), {"intent_id": "i-1"})})
    answers = await run_batch(world.memory, probe.work, [noted, other], fresh=fresh)

    assert {noted.saga_id: Done(facts={"n": 1}), other.saga_id: Done()} == told(answers)
    assert ({"intent_id": "i-1"}, {}) == (await world.outside(noted), await world.outside(other))


@pytest.mark.parametrize("number", [1, 3])
async def test_what_a_step_refuses_for_a_saga_that_is_not_there_is_given_up_for_that_reason(world, number):
    sound = (await of(world, *["acme"] * number))[1:]
    foreign = command("acme", uuid4())
    probe = Probe(says={foreign.saga_id: StepRejected("nothing to refund", error="Nothing")})
    answers = await run_batch(world.memory, probe.work, [foreign, *sound], fresh=True)

    assert [(foreign, NO_SAGA)] == answers.dead
    assert {each.saga_id: Done() for each in sound} == told(answers)
