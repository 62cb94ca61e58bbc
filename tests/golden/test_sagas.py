"""What an older release has written into the log means the same today, and goes on from there."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from contracts.outcomes import Done
from orchestrator.core.log import Entry
from orchestrator.core.machine import decide
from orchestrator.core.news import Due, News, Replay, Replied, Start
from orchestrator.core.state import State, evolve, replay
from orchestrator.sagas import sagas
from orchestrator.store.codec import entry_text, read_entry, read_state
from tests.golden.kept import RECORDS, Record

TOLD = [
    pytest.param(told, id=f"{record}-{number}-{told['saga']}-{told['state'].get('status')}")
    for record in RECORDS
    for number, told in enumerate(record.read("sagas"))
]
MANY = 100


def entries_of(told: dict[str, Any]) -> list[Entry]:
    return [read_entry(json.dumps(entry)) for entry in told["entries"]]


def state_of(told: dict[str, Any]) -> State:
    return read_state(json.dumps(told["state"]), told["request"])


@pytest.mark.parametrize("told", TOLD)
def test_its_log_folds_to_the_state_that_it_wrote(told: dict[str, Any]) -> None:
    definition = sagas()[told["saga"], told["version"]]
    assert state_of(told) == replay(definition, entries_of(told))


@pytest.mark.parametrize("told", TOLD)
def test_its_entries_lose_nothing_when_they_are_read_and_written(told: dict[str, Any]) -> None:
    for entry, read in zip(told["entries"], entries_of(told), strict=True):
        assert entry == {name: json.loads(entry_text(read))[name] for name in entry}


@pytest.mark.parametrize("told", TOLD)
def test_what_it_left_under_way_comes_to_its_end(told: dict[str, Any]) -> None:
    definition, state = sagas()[told["saga"], told["version"]], state_of(told)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    for _ in range(MANY):
        if state.ended:
            break
        at += timedelta(days=1)
        for entry in decide(definition, state, _next(state, at)):
            state = evolve(definition, state, entry)
    assert state.ended


def _next(state: State, at: datetime) -> News:
    if state.status == "waiting":
        return Start(at=at)
    if state.status == "parked":
        return Replay(at=at, by="ada", reason="mended")
    if state.waits_for == "retry" or state.step is None:
        return Due(at=at)
    return Replied(
        at=at, step=state.step, direction=state.direction, attempt=state.attempt, outcome=Done(), draw=0.5
    )


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_every_kind_of_entry_and_every_standing_is_on_record(record: Record) -> None:
    told = record.read("sagas")
    kinds = Counter(entry["kind"] for each in told for entry in each["entries"])
    known = {get_args(member.__annotations__["kind"])[0] for member in get_args(Entry)}
    assert set() == set(kinds) - known
    standings = {each["state"].get("status", "new") for each in told}
    assert {"waiting", "running", "unwinding", "parked", "completed", "rolled_back"} == standings


def test_the_first_release_has_every_kind_of_entry_on_record() -> None:
    kinds = {entry["kind"] for each in RECORDS[0].read("sagas") for entry in each["entries"]}
    assert 15 == len(kinds)
