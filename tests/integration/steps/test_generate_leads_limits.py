"""Generating leads: what is recorded of failed and unpriced calls, the limits, and the undo."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest
import pytest_asyncio

from contracts.messages import Command
from contracts.outcomes import Outcome, Transient
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

AT_REST = """
SELECT NOT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND usename = 'leadsaga_steps' AND state <> 'idle')
"""


@pytest_asyncio.fixture
async def generating(database_url: str) -> AsyncIterator[Generating]:
    async with tenants_at_work(database_url) as work:
        yield Generating(work)


async def side_by_side(
    generating: Generating, commands: Sequence[Command], model: ScriptedModel
) -> list[Outcome | None]:
    """The model answers when as many calls as expected are under way and no further one is about to be."""
    assert model.gate is not None
    running = asyncio.gather(*(generating.run(command, model) for command in commands))
    async with asyncio.timeout(20):
        await model.reached.wait()
        await generating.until(AT_REST)
        model.gate.set()
        return await running


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
    model = ScriptedModel(gate=asyncio.Event(), expected_side_by_side=3)
    assert [done(100, calls=4)] * 2 == await side_by_side(generating, commands, model)
    assert 3 == model.most_in_flight


async def test_all_tenants_share_the_limit_of_the_process(generating: Generating) -> None:
    commands = [await generating.command(100), await generating.command(100, "zenith")]
    model = ScriptedModel(slots=Slots(2), gate=asyncio.Event(), expected_side_by_side=2)
    assert [done(100, calls=4)] * 2 == await side_by_side(generating, commands, model)
    assert 2 == model.most_in_flight


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
