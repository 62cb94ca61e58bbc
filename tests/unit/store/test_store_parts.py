"""The small rules that both stores share."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.log import Skipped
from orchestrator.core.state import State
from orchestrator.store.codec import (
    entry_text,
    read_entry,
    read_request,
    read_state,
    request_text,
    state_text,
    storable,
)
from orchestrator.store.queries import QUERIES, BadQuery, parse
from orchestrator.store.turns import shares
from orchestrator.store.wake import next_wake
from tests.kit.store_world import DAY, MINUTE, NOON


def state(status: Any, due_at: datetime | None = None, deadline_at: datetime | None = None) -> State:
    return State(status=status, due_at=due_at, deadline_at=deadline_at)


@pytest.mark.parametrize(
    ("old", "was", "now", "expected"),
    [
        (NOON, "running", state("running", NOON + MINUTE, NOON + DAY), NOON),
        (NOON + DAY, "running", state("running", NOON + MINUTE, NOON + DAY), NOON + MINUTE),
        (None, "running", state("running", NOON + MINUTE), NOON + MINUTE),
        (NOON, "running", state("parked", None, NOON + DAY), NOON + DAY),
        (NOON, "running", state("parked"), None),
        (NOON, "running", state("completed"), None),
        (NOON, "waiting", state("running", NOON + MINUTE, NOON + DAY), NOON + MINUTE),
    ],
)
def test_a_wake_time_may_be_early_but_never_late(
    old: datetime | None, was: Any, now: State, expected: datetime | None
) -> None:
    assert expected == next_wake(old=old, was=was, state=now)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 60)), st.integers(-5, 300))
def test_shares_fit_the_room_and_never_leave_out_a_tenant_that_has_some(
    rooms: dict[str, int], free: int
) -> None:
    given_shares = shares(rooms, free)
    for tenant_id, share in given_shares.items():
        assert 1 <= share <= min(rooms[tenant_id], free)
    wanted = {tenant_id for tenant_id, room in rooms.items() if room > 0} if free > 0 else set()
    assert wanted == set(given_shares)


@given(st.integers(1, 300), st.integers(1, 20))
def test_shares_of_equal_tenants_fill_all_places(free: int, tenants: int) -> None:
    assert free <= sum(shares({str(n): 300 for n in range(tenants)}, free).values())


TEXTS = st.text(st.sampled_from('\0\\u0"aé\N{SNOWMAN}'), max_size=12)


@given(TEXTS, TEXTS)
def test_nul_is_the_only_character_that_is_not_stored_as_it_is(key: str, value: str) -> None:
    request = {key: [value, {"deep": value}]}
    expected = {storable(key): [storable(value), {"deep": storable(value)}]}
    text = request_text(request)
    assert expected == read_request(text)
    assert value.replace("\0", "\N{REPLACEMENT CHARACTER}") == storable(value)
    entry = Skipped(at=NOON, step="notify_discord", reason=value)
    assert Skipped(at=NOON, step="notify_discord", reason=storable(value)) == read_entry(entry_text(entry))


def test_a_state_is_kept_without_its_request() -> None:
    kept = State(
        status="running", armed=("a", "b"), cause=("a", "do", 1), request={"leads": 5}, first_at=NOON
    )
    assert "leads" not in state_text(kept)
    assert kept == read_state(state_text(kept), {"leads": 5})


def test_text_that_is_no_unicode_becomes_storable() -> None:
    assert "a?b" == storable("a\udc80b")


def test_every_statement_says_in_one_line_what_it_is_for() -> None:
    assert len(QUERIES) > 15
    assert [] == [query.name for query in QUERIES.values() if not query.purpose.endswith(".")]


@pytest.mark.parametrize(
    "text",
    [
        "-- name: a\nSELECT 1;\n",
        "-- name: a\n-- Nothing.\n",
        "-- name: a\n-- One.\nSELECT 1;\n-- name: a\n-- Two.\nSELECT 2;\n",
    ],
)
def test_a_statement_without_name_purpose_or_text_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        parse(text)
