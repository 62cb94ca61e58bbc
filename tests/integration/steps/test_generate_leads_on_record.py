"""Generating leads: every call to the model is on record, whatever becomes of the attempt that made it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio

from contracts.messages import Command
from contracts.outcomes import Transient
from steps.clients.model import ModelAnswer, Slots
from tests.kit.generating import (
    Asked,
    Generating,
    Script,
    ScriptedModel,
    answer,
    done,
    good,
    late,
    lead,
    under_way,
)
from tests.kit.tenants_at_work import again, tenants_at_work

pytestmark = pytest.mark.services

SPENT = ("outcome", "output_tokens", "cost_usd", "leads")
BOOKED = ("answered", 50, Decimal("0.000700000"), 0)


@pytest_asyncio.fixture
async def generating(database_url: str) -> AsyncIterator[Generating]:
    async with tenants_at_work(database_url) as work:
        yield Generating(work)


@dataclass
class TooLate(Slots):
    """A turn comes only when the step was undone."""

    generating: Generating
    command: Command

    @asynccontextmanager
    async def take(self, tenant_id: str, side_by_side: int, deadline: float) -> AsyncIterator[None]:
        await self.generating.discard(self.command)
        yield


async def test_a_call_whose_process_is_killed_in_it_stays_on_record_as_begun(generating: Generating) -> None:
    command = await generating.command(25)
    async with under_way(generating, command) as (running, _):
        running.cancel()
        await asyncio.wait([running])
    columns = ("part", "outcome", "model", "output_tokens", "cost_usd", "seconds")
    assert [(1, "begun", None, None, None, None)] == await generating.calls(command.saga_id, *columns)


async def test_a_call_that_nobody_saw_the_end_of_counts(generating: Generating) -> None:
    command = await generating.command(25)
    async with under_way(generating, command) as (running, _):
        running.cancel()
        await asyncio.wait([running])
    assert done(25, calls=2) == await generating.run(command, ScriptedModel())
    expected = [(1, "begun", 0), (2, "answered", 25)]
    assert expected == await generating.calls(command.saga_id, "part", "outcome", "leads")


async def test_an_attempt_that_was_undone_before_its_turn_makes_no_call(generating: Generating) -> None:
    command = await generating.command(25)
    model = ScriptedModel(slots=TooLate(generating, command))
    assert await generating.run(command, model) is None
    assert ([], []) == (model.asked, await generating.calls(command.saga_id, "outcome"))


async def test_tokens_of_an_attempt_that_was_undone_meanwhile_are_booked_and_its_leads_are_not(
    generating: Generating,
) -> None:
    command = await generating.command(50)
    async with under_way(generating, command) as (running, answers):
        await generating.discard(command)
        answers.set()
        assert await running is None
    assert [] == await generating.companies(command.saga_id)
    assert [BOOKED, BOOKED] == await generating.calls(command.saga_id, *SPENT)


async def test_a_failed_call_of_an_attempt_that_was_undone_meanwhile_is_settled(
    generating: Generating,
) -> None:
    command = await generating.command(25)
    async with under_way(generating, command, [late]) as (running, answers):
        await generating.discard(command)
        answers.set()
        assert await running is None
    expected = [("timed_out", "APITimeoutError", Decimal("30.000"))]
    assert expected == await generating.calls(command.saga_id, "outcome", "error", "seconds")


async def test_tokens_of_an_attempt_that_another_one_took_over_are_booked_and_its_leads_are_not(
    generating: Generating,
) -> None:
    command = await generating.command(25)
    async with under_way(generating, command) as (running, answers):
        assert done(25, calls=2) == await generating.run(again(command, 2), ScriptedModel())
        answers.set()
        await running
    expected = [BOOKED, (*BOOKED[:-1], 25)]
    assert expected == await generating.calls(command.saga_id, *SPENT)
    assert 25 == len(await generating.companies(command.saga_id))


async def test_leads_of_a_run_that_a_redelivery_took_over_are_not_stored_and_its_tokens_are_booked(
    generating: Generating,
) -> None:
    """The same attempt twice: its first process lost the broker and not the database."""
    command = await generating.command(25)
    async with (
        under_way(generating, command) as (first, answers),
        under_way(generating, command, redelivered=True) as (second, later),
    ):
        answers.set()
        assert await first is None
        assert [] == await generating.companies(command.saga_id)
        later.set()
        assert done(25, calls=2) == await second
    assert [BOOKED, (*BOOKED[:-1], 25)] == await generating.calls(command.saga_id, *SPENT)
    assert 25 == len(await generating.companies(command.saga_id))


async def test_tokens_of_an_answer_are_booked_when_the_process_stops_at_its_checkpoint(
    generating: Generating,
) -> None:
    command = await generating.command(25)
    admin = generating.work.admin
    async with under_way(generating, command) as (running, answers):
        async with admin.transaction():
            await admin.execute("SELECT FROM effects FOR UPDATE")
            answers.set()
            await generating.until("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            running.cancel()
            await generating.until("SELECT EXISTS (SELECT FROM model_calls WHERE outcome <> 'begun')")
        await asyncio.wait([running])
    assert running.cancelled()
    assert [BOOKED] == await generating.calls(command.saga_id, *SPENT)
    assert [] == await generating.companies(command.saga_id)


async def test_what_was_kept_and_dropped_is_stored_with_each_call_and_summed_over_all_attempts(
    generating: Generating,
) -> None:
    def half_bad(asked: Asked) -> ModelAnswer:
        fresh = f"New{asked['part']}"
        return answer([lead("One"), lead("One"), lead(fresh), lead("Bad", email="nobody")])

    command = await generating.command(30)
    first: list[Script] = [half_bad, late]
    assert isinstance(await generating.run(command, ScriptedModel(first, slots=Slots(1))), Transient)
    second = ScriptedModel([half_bad, good], slots=Slots(1))
    outcome = await generating.run(again(command, 2), second)
    # Of the second attempt's two calls the first brought one lead of 14 that was new.
    rows = await generating.calls(command.saga_id, "attempt", "part", "leads", "invalid", "duplicates")
    expected = [(1, 1, 2, 1, 1), (1, 2, 0, 0, 0), (2, 3, 1, 1, 2), (2, 4, 14, 0, 0), (2, 5, 13, 0, 0)]
    assert expected == rows
    assert done(30, calls=5, invalid=2, duplicates=3) == outcome
