"""At three in the morning: what died, of what, and since when; then one of them with all that led to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.names import REQUESTS
from orchestrator.operate.cli.options import moment
from tests.integration.operate.conftest import Tool
from tests.integration.operate.test_orders import KEY, orchestrator, parked
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_suite_letters import bury
from tests.kit.store_world import letter, saga_id

REFUSED = "Stripe was not told: UnknownCustomer: No such customer: 'cus_{}'"
EFFECT = """
INSERT INTO effects (tenant_id, saga_id, step, direction, attempt, starts, run, started_at)
VALUES ('acme', $1, 'record_usage', 'do', 1, 4, 4, '2026-11-21 12:00Z')
"""


async def a_bad_night(world: PostgresWorld) -> None:
    """Three tenants unknown to Stripe, and one request that nobody understands, the newest."""
    for number, tenant in enumerate(["acme", "blue", "coco"], 1):
        refused = replace(
            letter(number), queue="report_to_stripe", error="StripeRejected", step="report_to_stripe",
            attempt=1, tenant_id=tenant, reason=REFUSED.format(f"{number}" * 14),
        )  # fmt: skip
        await bury(world, refused)
    malformed = replace(
        letter(4), queue=REQUESTS, error="Malformed", reason="leads: Field required", tenant_id="acme",
        routing_key="acme.lead_requested",
    )  # fmt: skip
    await bury(world, malformed, malformed)


async def test_by_fingerprint_there_is_one_line_a_cause_the_newest_first(
    world: PostgresWorld, operator: Tool
) -> None:
    await a_bad_night(world)
    newest, older = (await operator("dead-letters", "list", "--by", "fingerprint", "--json")).json
    columns = ("queue", "error", "letters", "seen", "tenants")
    assert ["requests", "Malformed", 1, 2, 1] == [newest[name] for name in columns]
    assert ["report_to_stripe", "StripeRejected", 3, 3, 3] == [older[name] for name in columns]
    assert older["first_at"] < older["last_at"] < newest["last_at"]
    example = (await operator("dead-letters", "show", older["example"], "--json")).json
    assert ("coco", older["fingerprint"]) == (
        example["letter"]["tenant_id"], example["letter"]["fingerprint"],
    )  # fmt: skip
    shown = (await operator("dead-letters", "list", "--by", "fingerprint")).out
    assert all(words in shown for words in ("causes: 2", older["fingerprint"], "leads: Field required"))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--step", "report_to_stripe"], 3),
        (["--step", "requests"], 1),
        (["--error", "Malformed"], 1),
        (["--tenant", "acme"], 2),
        (["--tenant", "acme", "--error", "StripeRejected"], 1),
        (["--since", "1h"], 4),
        (["--since", "2100-01-01"], 0),
        (["--step", "generate_leads"], 0),
    ],
)
async def test_letters_are_filtered(
    world: PostgresWorld, operator: Tool, options: list[str], found: int
) -> None:
    await a_bad_night(world)
    ran = await operator("dead-letters", "list", *options, "--json")
    assert (0, found) == (ran.code, len(ran.json))


async def test_a_time_that_is_none_is_wrong_usage(operator: Tool) -> None:
    assert 2 == (await operator("dead-letters", "list", "--since", "yesterday")).code


def test_a_time_may_be_an_age_or_a_moment() -> None:
    ages = {"90m": timedelta(minutes=90), "3h": timedelta(hours=3), "2d": timedelta(days=2)}
    for text, age in ages.items():
        assert abs(datetime.now(UTC) - age - moment(text)) < timedelta(minutes=1)
    assert datetime(2026, 11, 21, 3, tzinfo=UTC) == moment("2026-11-21T03:00")


async def test_why_a_letter_is_there_is_one_sentence(world: PostgresWorld, operator: Tool) -> None:
    await a_bad_night(world)
    await bury(world, replace(letter(5), error="Poison", reason="it was begun 3 times"))
    told = {each["error"]: each["why"] for each in (await operator("dead-letters", "list", "--json")).json}
    assert "not understood in requests: leads: Field required" == told["Malformed"]
    assert "poison: it was begun 3 times" == told["Poison"]
    given_up = "report_to_stripe was given up at attempt 1: Stripe was not told"
    assert told["StripeRejected"].startswith(given_up)


async def poisoned(world: PostgresWorld) -> str:
    """The letter of a saga that is parked at its pivot. Returns its id."""
    saga = await parked(world)
    died = replace(
        letter(7, key=("acme", saga)), error="Poison", reason="kills its consumer", saga="lead",
        step="record_usage", direction="do", attempt=1, routing_key="record_usage",
    )  # fmt: skip
    await bury(world, died)
    await world.owner.pool.execute(EFFECT, saga)
    return str(died.dead_letter_id)


async def test_a_letter_of_a_saga_shows_its_attempts_and_what_its_step_knows(
    world: PostgresWorld, operator: Tool
) -> None:
    name = await poisoned(world)
    opened = (await operator("dead-letters", "show", name, "--json")).json
    (attempt,) = opened["attempts"]
    assert (1, "dead_lettered", "kills its consumer") == (
        attempt["attempt"], attempt["answer"], attempt["reason"],
    )  # fmt: skip
    known: dict[str, Any] = {"state": "open", "attempt": 1, "answered": 0, "starts": 4, "run": 4}
    assert known == {each: opened["effect"][each] for each in known}
    shown = (await operator("dead-letters", "show", name)).out
    words = (
        "poison: kills its consumer",
        "begun 4 times, last at 2026-11-21 12:00:00",
        "attempts",
        "seen: 1",
    )
    assert [] == [each for each in words if each not in shown]


async def test_a_letter_of_a_saga_asks_its_step_again_once(world: PostgresWorld, operator: Tool) -> None:
    name = await poisoned(world)
    foreseen = (await operator("dead-letters", "replay", name, "--dry-run", "--json")).json
    assert f"asks record_usage for attempt 2, in saga {KEY[1]} of tenant acme" == foreseen["does"]
    async with orchestrator(world):
        first = await operator("dead-letters", "replay", name, "--reason", "the bug is mended", "--json")
    assert (0, "done", name) == (first.code, first.json["result"], first.json["dead_letter_id"])
    second = await operator("dead-letters", "replay", name, "--reason", "me too")
    assert (1, True) == (second.code, "running at record_usage: it was replayed by ann" in second.err)
    assert ["replayed"] == [each["status"] for each in await letters(operator)]
    assert 1 == (await operator("dead-letters", "replay", name, "--dry-run")).code


async def letters(operator: Tool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await operator("dead-letters", "list", "--all", "--json")).json
    return found


async def test_a_letter_of_an_attempt_that_is_over_is_refused(world: PostgresWorld, operator: Tool) -> None:
    name = await poisoned(world)
    await world.owner.pool.execute("UPDATE dead_letters SET attempt = 3")
    ran = await operator("dead-letters", "replay", name, "--reason", "x")
    words = "the saga is parked at record_usage, attempt 1; this letter is of record_usage, attempt 3"
    assert (1, f"refused: {words}\n") == (ran.code, ran.err)


async def test_a_letter_of_no_saga_is_ordered_to_be_published_again(
    world: PostgresWorld, operator: Tool
) -> None:
    await a_bad_night(world)
    (malformed,) = (await operator("dead-letters", "list", "--error", "Malformed", "--json")).json
    name = malformed["dead_letter_id"]
    foreseen = (await operator("dead-letters", "replay", name, "--dry-run", "--json")).json
    assert "publishes it to requests again under the key acme.lead_requested" == foreseen["does"]
    ran = await operator("dead-letters", "replay", name, "--reason", "newer release", "--wait", "0")
    assert (4, True) == (ran.code, f"replay {name}: not taken yet" in ran.out)
    (order,) = await world.store.open_orders(limit=5)
    assert order.letter is not None
    assert (None, malformed["routing_key"], 2) == (
        order.key, order.letter.routing_key, order.letter.times_seen,
    )  # fmt: skip
    again = await operator("dead-letters", "replay", name, "--reason", "me too")
    assert (1, True) == (again.code, "ann ordered replay" in again.err)


async def test_what_cannot_be_replayed_is_refused_with_the_reason(
    world: PostgresWorld, operator: Tool
) -> None:
    older = replace(letter(1), queue=REQUESTS)
    foreign = replace(letter(2, key=("acme", KEY[1])), step="record_usage", direction="do", attempt=1)
    await bury(world, older, foreign)
    replay = ("dead-letters", "replay")
    for each, words in ((older, "without the key"), (foreign, f"tenant acme has no saga {KEY[1]}")):
        ran = await operator(*replay, each.dead_letter_id, "--reason", "x")
        assert (1, True) == (ran.code, words in ran.err), ran.err
        dry = await operator(*replay, each.dead_letter_id, "--dry-run")
        assert (1, True) == (dry.code, words in dry.out)
    assert 3 == (await operator(*replay, saga_id(9), "--reason", "x")).code
    assert 2 == (await operator(*replay, older.dead_letter_id)).code
    assert [] == await world.store.open_orders(limit=5)
