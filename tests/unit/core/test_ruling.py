"""The step side keeps its answers true: what the rule says of every command that may arrive."""

from typing import Any

import pytest

from contracts.ids import Direction
from contracts.outcomes import Done, Rejected, Transient
from steps.runtime.ruling import UNDONE, Effect, Owed, Repeat, Ruling, Run, Stale, rule

DONE = Done(facts={"leads": 7})
BUSY = Transient(reason="busy")
NO = Rejected(reason="no")

BEGUN = Effect(attempt=2)
FAILED = Effect(attempt=2, answered=2, answer=BUSY)
BEGUN_AGAIN = Effect(attempt=3, answered=2, answer=BUSY)
FINISHED = Effect(state="done", attempt=2, answered=2, answer=DONE)
OWING = Effect(attempt=2, owed=True)
GONE = Effect(state="undone", attempt=2, answered=2, answer=DONE)


@pytest.mark.parametrize(
    ("effect", "attempt", "expected"),
    [
        pytest.param(Effect(), 1, Run(), id="the first command runs"),
        pytest.param(BEGUN, 2, Run(), id="a begun attempt that was not answered runs again"),
        pytest.param(BEGUN, 3, Run(), id="a later attempt takes over"),
        pytest.param(BEGUN, 1, Stale(), id="an earlier attempt is stale once a later one has begun"),
        pytest.param(FAILED, 2, Repeat(2, BUSY), id="an answered attempt repeats its answer"),
        pytest.param(FAILED, 1, Repeat(2, BUSY), id="an earlier attempt repeats the highest answer"),
        pytest.param(FAILED, 3, Run(), id="after a failure the next attempt runs"),
        pytest.param(BEGUN_AGAIN, 2, Repeat(2, BUSY), id="an answer stays true while a later attempt runs"),
        pytest.param(BEGUN_AGAIN, 3, Run(), id="the attempt that is running may run"),
        pytest.param(FINISHED, 1, Repeat(2, DONE), id="a done step repeats Done to earlier attempts"),
        pytest.param(FINISHED, 9, Repeat(2, DONE), id="a done step repeats Done to later attempts"),
        pytest.param(OWING, 2, Owed(), id="an owed answer is given later"),
        pytest.param(OWING, 3, Run(), id="a later attempt takes the debt over"),
        pytest.param(OWING, 1, Stale(), id="an attempt before the owed one is stale"),
        pytest.param(GONE, 2, Repeat(2, UNDONE), id="an undone step is refused to old attempts"),
        pytest.param(GONE, 3, Repeat(3, UNDONE), id="an undone step is refused to new attempts"),
        pytest.param(
            Effect(state="undone"), 1, Repeat(1, UNDONE), id="a step undone before it came is refused"
        ),
    ],
)
def test_what_a_command_meets(effect: Effect, attempt: int, expected: Ruling) -> None:
    assert expected == rule(effect, "do", attempt)


@pytest.mark.parametrize("direction", ["do", "undo"])
@pytest.mark.parametrize("answer", [DONE, BUSY, NO])
def test_no_attempt_runs_twice_once_it_was_answered(direction: Direction, answer: Any) -> None:
    state: Any = "done" if answer is DONE else "open"
    effect = Effect(state=state, attempt=3, answered=3, answer=answer)
    rulings = {attempt: rule(effect, direction, attempt) for attempt in (1, 2, 3)}
    assert dict.fromkeys((1, 2, 3), Repeat(3, answer)) == rulings


def test_an_undo_is_not_refused_for_what_it_undid() -> None:
    assert Run() == rule(Effect(state="undone"), "undo", 1)
