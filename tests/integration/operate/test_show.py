"""What the steps keep of a saga is shown: whole as JSON, and in lines that fit a narrow terminal."""

from uuid import UUID

import pytest

from tests.integration.operate.conftest import Tool
from tests.integration.operate.content import INTENT, PROVIDER, model_calls, saga_with_content
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import letter

BURIED = UUID("0193ffff-c3d4-7e5f-8a9b-0c1d2e3f4a5b")


async def full_saga(world: PostgresWorld) -> UUID:
    made = await saga_with_content(world)
    await model_calls(world, made)
    async with world.store.group() as group:
        await group.bury([letter(1, key=("acme", made)), letter(2)])
    update = "UPDATE dead_letters SET dead_letter_id = $1 WHERE saga_id = $2"
    await world.owner.pool.execute(update, BURIED, made)
    return made


async def test_each_model_call_is_shown_also_one_that_nobody_saw_the_end_of(
    world: PostgresWorld, operator: Tool
) -> None:
    made = await full_saga(world)
    shown = (await operator("show", made, "--json")).json
    names = (
        "part",
        "outcome",
        "model",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "seconds",
        "provider_id",
    )
    answered, timed_out, begun = ([call[name] for name in names] for call in shown["model_calls"])
    told = [1, "answered", "claude-sonnet-5-5", 1200, 3400, "0.054600000", "7.250", PROVIDER]
    assert told == answered
    assert [2, "timed_out", "claude-sonnet-5-5", None, None, None, "30.000", None] == timed_out
    assert [2, "begun", None, None, None, None, None, None] == begun
    assert (3, 1, 1200) == tuple(shown["model"][name] for name in ("calls", "answered", "input_tokens"))
    text = (await operator("show", made)).out
    for words in (PROVIDER, "begun", "TimedOut", "0.0546", "model calls: 3, 1 answered, 1200 + 3400 tokens"):
        assert words in text


async def test_the_dead_letters_of_a_saga_are_shown_with_it(world: PostgresWorld, operator: Tool) -> None:
    made = await full_saga(world)
    shown = (await operator("show", made, "--json")).json
    assert [str(BURIED)] == [each["dead_letter_id"] for each in shown["dead_letters"]]
    text = (await operator("show", made)).out
    assert all(words in text for words in (str(BURIED), "Spent", "attempt 1 was the last"))


async def test_outside_ids_are_shown_beside_the_step_that_has_them(
    world: PostgresWorld, operator: Tool
) -> None:
    text = (await operator("show", await full_saga(world))).out
    assert f"stripe_identifier acme-{INTENT}" in text
    assert f"intent_id {INTENT}" in text


async def test_at_120_columns_ids_lose_their_middle_and_cells_stay_on_one_line(
    world: PostgresWorld, operator: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await full_saga(world)
    monkeypatch.setenv("COLUMNS", "120")
    lines = (await operator("show", made)).out.splitlines()
    assert 120 >= max(len(line) for line in lines)
    for cells in (
        ("report_to_stripe", "intent_id 0193a1b2…2e3f4a5b"),
        ("stripe_identifier acme-019…2e3f4a5b",),
        ("usage", "0.4 eur", "acme-019…2e3f4a5b (2)", "confirmed"),
        ("answered", "claude-sonnet-5-5", "1200", "3400", "0.0546", "7.250", "req_011C…2UUqR7Fy"),
        ("timed_out", "claude-sonnet-5-5", "30.000", "TimedOut"),
        ("0193ffff…2e3f4a5b", "record_usage", "Spent", "attempt 1 was the last", "open"),
    ):
        assert 1 == sum(all(cell in line for cell in cells) for line in lines), cells
