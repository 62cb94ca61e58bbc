"""Generating leads on a real Postgres with a scripted model: checkpoints, counts, honest endings."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio

from contracts.outcomes import Rejected, Transient
from steps.clients.model import ModelAnswer
from steps.leads.drafts import store
from steps.leads.parse import Lead
from tests.kit.generating import (
    Asked,
    Generating,
    Script,
    ScriptedModel,
    answer,
    babble,
    broke,
    busy,
    declined,
    done,
    good,
    late,
    lead,
    nothing,
)
from tests.kit.tenants_at_work import again, tenants_at_work

pytestmark = pytest.mark.services


@pytest_asyncio.fixture
async def generating(database_url: str) -> AsyncIterator[Generating]:
    async with tenants_at_work(database_url) as work:
        yield Generating(work)


async def test_all_leads_are_stored_as_drafts_and_every_call_with_its_tokens_and_cost(
    generating: Generating,
) -> None:
    command = await generating.command(60)
    assert done(60, calls=3) == await generating.run(command, ScriptedModel())
    assert 60 == len(await generating.companies(command.saga_id))
    drafts = "SELECT count(*) FROM leads WHERE visible_at IS NULL"
    assert 60 == await generating.work.admin.fetchval(drafts)
    row = ("answered", 100, 0, 0, 50, Decimal("0.000700000"), False, "req_1", Decimal("1.250"))
    columns = "part outcome input_tokens cache_read_tokens cache_write_tokens output_tokens cost_usd unpriced"
    rows = await generating.calls(command.saga_id, *columns.split(), "provider_id", "seconds")
    assert [(part, *row) for part in (1, 2, 3)] == rows


async def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(generating: Generating) -> None:
    command = await generating.command(50)
    first = await generating.run(command, ScriptedModel([good, late]))
    assert isinstance(first, Transient)
    assert (True, "APITimeoutError") == (first.progress, first.error)
    kept = await generating.companies(command.saga_id)
    assert 25 == len(kept)
    model = ScriptedModel()
    assert done(50, calls=3) == await generating.run(again(command, 2), model)
    assert [(25, 3, kept)] == [(asked["leads"], asked["part"], asked["avoid"]) for asked in model.asked]


async def test_an_attempt_without_a_new_lead_made_no_progress(generating: Generating) -> None:
    command = await generating.command(50)
    outcome = await generating.run(command, ScriptedModel([busy(4), busy(9)]))
    expected = Transient(reason="the model is busy", error="OverloadedError", retry_after=9)
    assert expected == outcome


async def test_a_last_attempt_with_some_leads_is_a_success_with_fewer(generating: Generating) -> None:
    command = await generating.command(50, last=True)
    assert done(25, calls=2) == await generating.run(command, ScriptedModel([late, good]))


async def test_drafts_of_earlier_attempts_count_when_the_last_one_brings_nothing(
    generating: Generating,
) -> None:
    command = await generating.command(50)
    await generating.run(command, ScriptedModel([good, late]))
    last = again(command, 2).model_copy(update={"last": True})
    assert done(25, calls=3) == await generating.run(last, ScriptedModel([late]))


async def test_a_last_attempt_without_any_lead_ends_with_a_readable_reason(generating: Generating) -> None:
    command = await generating.command(5, attempt=3, last=True)
    expected = Rejected(reason="the model did not answer in time (3 attempts)", error="APITimeoutError")
    assert expected == await generating.run(command, ScriptedModel([late]))


async def test_duplicate_and_invalid_leads_are_dropped_counted_and_asked_for_once_more(
    generating: Generating,
) -> None:
    def half_bad(_: Asked) -> ModelAnswer:
        bad = lead("Bad", email="nobody")
        return answer([lead("One"), lead("Two"), lead("One", contact_name="Bo"), bad])

    command = await generating.command(4)
    model = ScriptedModel([half_bad])
    assert done(4, calls=2, invalid=1, duplicates=1) == await generating.run(command, model)
    assert [(4, []), (2, ["One", "Two"])] == [(asked["leads"], asked["avoid"]) for asked in model.asked]


async def test_a_company_that_two_calls_found_is_kept_once(generating: Generating) -> None:
    def same(asked: Asked) -> ModelAnswer:
        return answer([lead(f"Same{n}") for n in range(asked["leads"])])

    command = await generating.command(50)
    assert done(50, calls=3, duplicates=25) == await generating.run(command, ScriptedModel([same, same]))


async def test_after_one_round_more_fewer_leads_are_accepted(generating: Generating) -> None:
    def one_good(_: Asked) -> ModelAnswer:
        return answer([lead("One"), lead("Bad", score=500)])

    command = await generating.command(9)
    outcome = await generating.run(command, ScriptedModel([one_good, one_good]))
    assert done(1, calls=2, invalid=2, duplicates=1) == outcome


async def test_a_model_that_honestly_finds_fewer_is_not_pressed(generating: Generating) -> None:
    command = await generating.command(9)
    model = ScriptedModel([lambda _: answer([lead("One")])])
    assert done(1, calls=1) == await generating.run(command, model)


async def test_a_cut_answer_keeps_its_whole_leads_and_is_completed(generating: Generating) -> None:
    def cut(asked: Asked) -> ModelAnswer:
        whole = good(asked)
        return answer([], text=whole.text[: len(whole.text) // 2], stop_reason="max_tokens")

    command = await generating.command(10)
    outcome = await generating.run(command, ScriptedModel([cut]))
    assert done(10, calls=2) == outcome
    assert [("truncated",), ("answered",)] == await generating.calls(command.saga_id, "outcome")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (declined, ("the model declined to work on these criteria", "Declined")),
        (nothing, ("the model found no lead that matches these criteria", "NothingFound")),
        (broke, ("lead generation is out of order on our side", "spend_limit_reached")),
    ],
)
async def test_what_cannot_get_better_is_rejected_at_once(
    generating: Generating, script: Script, expected: tuple[str, str]
) -> None:
    command = await generating.command(5)
    outcome = await generating.run(command, ScriptedModel([script]))
    assert Rejected(reason=expected[0], error=expected[1]) == outcome


@pytest.mark.parametrize("script", [declined, broke])
async def test_leads_that_other_calls_brought_are_delivered_all_the_same(
    generating: Generating, script: Script
) -> None:
    command = await generating.command(50)
    assert done(25, calls=2) == await generating.run(command, ScriptedModel([good, script]))


async def test_answers_without_a_usable_lead_are_tried_again_and_end_with_a_reason(
    generating: Generating,
) -> None:
    command = await generating.command(5)
    first = await generating.run(command, ScriptedModel([babble, babble]))
    assert Transient(reason="the model's answers could not be used", error="UnusableAnswers") == first
    last = again(command, 2).model_copy(update={"last": True})
    expected = Rejected(reason="the model's answers could not be used (2 attempts)", error="UnusableAnswers")
    assert expected == await generating.run(last, ScriptedModel([babble, babble]))
    errors = await generating.calls(command.saga_id, "error")
    assert [("UnreadableAnswer",)] * 4 == errors


async def test_never_more_drafts_are_kept_than_the_request_asked_for_whoever_brings_them(
    generating: Generating,
) -> None:
    command = await generating.command(5)
    known = [Lead.model_validate(lead(f"C{n}")) for n in range(3)]
    new = [Lead.model_validate(lead(f"D{n}")) for n in range(4)]
    async with generating.work.database.transaction("acme") as connection:
        await store(connection, command, 1, known, wanted=5)
        stored = await store(connection, command, 2, [*known[:1], *new], wanted=5)
        full = await store(connection, command, 3, new[2:], wanted=5)

    assert (["D0", "D1"], 1, []) == (stored.companies, stored.duplicates, full.companies)
    assert ["C0", "C1", "C2", "D0", "D1"] == await generating.companies(command.saga_id)
