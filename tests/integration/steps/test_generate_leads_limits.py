"""Generating leads: what is recorded of failed and unpriced calls, the limits, and the undo."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import cast

import pytest
import pytest_asyncio

from contracts.messages import Command
from contracts.outcomes import Transient
from steps.clients.model import Slots
from tests.kit.generating import (
    Generating,
    ScriptedModel,
    answer,
    busy,
    declined,
    done,
    late,
    lead,
)
from tests.kit.tenants_at_work import tenants_at_work

pytestmark = pytest.mark.services


class WatchedSlots(Slots):
    """Says how many turns were taken at the same time."""

    def __init__(self, total: int, calls: int) -> None:
        super().__init__(total)
        self.calls = calls
        self.all_asked = asyncio.Event()
        self.taken = self.most_taken = 0

    @asynccontextmanager
    async def take(self, tenant_id: str, side_by_side: int, deadline: float) -> AsyncIterator[None]:
        self.calls -= 1
        if self.calls == 0:
            self.all_asked.set()
        async with super().take(tenant_id, side_by_side, deadline):
            self.taken += 1
            self.most_taken = max(self.most_taken, self.taken)
            try:
                yield
            finally:
                self.taken -= 1


@pytest_asyncio.fixture
async def generating(database_url: str) -> AsyncIterator[Generating]:
    async with tenants_at_work(database_url) as work:
        yield Generating(work)


async def most_side_by_side(
    generating: Generating, commands: Sequence[Command], *, total: int, expected: int
) -> tuple[int, int]:
    """Turns taken and calls under way at the same time, for commands of 100 leads. No call is answered before
    all have asked for their turn and as many as expected were made."""
    slots, gate = WatchedSlots(total, 4 * len(commands)), asyncio.Event()
    model = ScriptedModel(slots=slots, gate=gate, expected_side_by_side=expected)
    running = asyncio.gather(*(generating.run(command, model) for command in commands))
    async with asyncio.timeout(20):
        await slots.all_asked.wait()
        await model.reached.wait()
        gate.set()
        assert [done(100, calls=4)] * len(commands) == await running
    return slots.most_taken, model.most_in_flight


async def test_failed_and_refused_calls_are_recorded_too(generating: Generating) -> None:
    command = await generating.command(75)
    await generating.run(command, ScriptedModel([late, busy(None), declined], slots=Slots(1)))
    expected = [
        ("timed_out", "APITimeoutError", "req_2", None, None, False),
        ("failed", "OverloadedError", "req_2", None, None, False),
        ("refused", None, "req_1", 50, Decimal("0.000700000"), False),
    ]
    columns = ("outcome", "error", "provider_id", "output_tokens", "cost_usd", "unpriced")
    assert expected == await generating.calls(command.saga_id, *columns)


async def test_tokens_of_a_model_without_a_known_price_are_flagged(generating: Generating) -> None:
    command = await generating.command(1)
    model = ScriptedModel([lambda _: answer([lead("One")], model="claude-of-tomorrow")])
    await generating.run(command, model)
    columns = ("output_tokens", "cost_usd", "priced_by", "unpriced")
    assert [(50, None, None, True)] == await generating.calls(command.saga_id, *columns)


async def test_a_tenants_calls_side_by_side_are_limited_over_all_its_sagas(generating: Generating) -> None:
    commands = [await generating.command(100), await generating.command(100)]
    await generating.work.admin.execute("UPDATE tenants SET model_calls = 3")
    assert (3, 3) == await most_side_by_side(generating, commands, total=16, expected=3)


class AnotherProcess:
    """The same model, called from elsewhere."""

    def __init__(self, model: ScriptedModel) -> None:
        self.slots, self.call_timeout, self.call = Slots(16), model.call_timeout, model.call


async def test_a_tenants_limit_holds_over_all_processes(generating: Generating) -> None:
    one, other = await generating.command(100), await generating.command(100)
    await generating.work.admin.execute("UPDATE tenants SET model_calls = 3")
    model = ScriptedModel(gate=asyncio.Event(), expected_side_by_side=3)
    elsewhere = cast(ScriptedModel, AnotherProcess(model))
    running = asyncio.gather(generating.run(one, model), generating.run(other, elsewhere))
    async with asyncio.timeout(40):
        await model.reached.wait()
        assert model.gate is not None
        model.gate.set()
        assert (done(100, calls=4), done(100, calls=4)) == tuple(await running)
    assert 3 == model.most_in_flight


async def test_a_limit_that_is_lowered_holds_for_the_next_call(generating: Generating) -> None:
    command = await generating.command(100)
    await generating.work.admin.execute("UPDATE tenants SET model_calls = 2")
    model = ScriptedModel(gate=asyncio.Event(), expected_side_by_side=2)
    running = asyncio.create_task(generating.run(command, model))
    async with asyncio.timeout(20):
        await model.reached.wait()
        await generating.work.admin.execute("UPDATE tenants SET model_calls = 1")
        assert model.gate is not None
        model.most_in_flight = 0
        model.gate.set()
        assert done(100, calls=4) == await running
    assert (1, 4) == (model.most_in_flight, len(model.asked))


async def test_a_call_whose_process_died_takes_its_place_until_it_must_be_over(
    generating: Generating,
) -> None:
    dead, command = await generating.command(1), await generating.command(5)
    await generating.work.admin.execute("UPDATE tenants SET model_calls = 1")
    begun = (
        "INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome, started_at)"
        " VALUES ('acme', gen_random_uuid(), $1, 1, 1, 'begun', now() - make_interval(secs => $2))"
    )
    await generating.work.admin.execute(begun, dead.saga_id, 20)
    refused = await generating.run(command.model_copy(update={"timeout": 1.5}), ScriptedModel())
    assert Transient(reason="the model did not answer in time", error="NotAsked") == refused
    await generating.work.admin.execute("UPDATE model_calls SET started_at = now() - interval '1 minute'")
    again = command.model_copy(update={"attempt": 2})
    assert done(5, calls=1) == await generating.run(again, ScriptedModel())


async def test_all_tenants_share_the_limit_of_the_process(generating: Generating) -> None:
    commands = [await generating.command(100), await generating.command(100, "zenith")]
    assert (2, 2) == await most_side_by_side(generating, commands, total=2, expected=2)


async def test_a_call_that_could_not_be_answered_in_the_attempts_time_is_not_made(
    generating: Generating,
) -> None:
    command = await generating.command(5, timeout=0.9)
    model = ScriptedModel()
    expected = Transient(reason="the model did not answer in time", error="NotAsked")
    assert (expected, []) == (await generating.run(command, model), model.asked)


async def test_an_attempt_that_finds_all_drafts_there_asks_nothing(generating: Generating) -> None:
    command = await generating.command(5)
    await generating.run(command, ScriptedModel())
    reset = "UPDATE effects SET state = 'open', answered = 0, answer = NULL, started_at = NULL"
    await generating.work.admin.execute(reset)
    model = ScriptedModel()
    assert (done(5, calls=1), []) == (await generating.run(command, model), model.asked)


async def test_discarding_takes_the_drafts_of_its_saga_only_and_is_happy_to_find_none(
    generating: Generating,
) -> None:
    one, other = await generating.command(3), await generating.command(3)
    await generating.run(one, ScriptedModel())
    await generating.run(other, ScriptedModel())
    await generating.discard(one)
    untouched = await generating.command(1)
    await generating.discard(untouched)
    assert (0, 3) == (
        len(await generating.companies(one.saga_id)),
        len(await generating.companies(other.saga_id)),
    )


async def test_discarding_never_takes_leads_that_were_delivered(generating: Generating) -> None:
    command = await generating.command(3)
    await generating.run(command, ScriptedModel())
    await generating.work.admin.execute("UPDATE leads SET visible_at = now()")
    await generating.discard(command)
    assert 3 == len(await generating.companies(command.saga_id))
