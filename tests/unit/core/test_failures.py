"""What each kind of step does with each answer that is not Done."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.core.describe import mermaid
from orchestrator.core.log import Failed, Parked, Skipped
from orchestrator.core.machine import decide
from orchestrator.core.moves import Draft, give_up
from orchestrator.core.state import State, evolve
from tests.kit.given import T0, after, answer, done, due, given, rejected, transient, unknown
from tests.kit.small import A, B, E, P, R, saga_of

SAGA = saga_of(A, B, P, R, E)
AT_P = (done("a"), done("b"))
AT_R = (*AT_P, done("p"))
AT_E = (*AT_R, done("r"))


def test_a_refused_first_step_needs_no_undo() -> None:
    story = given(SAGA).when(rejected("a")).then("failed", "unwinding", "ended")
    assert () == story.entry("unwinding").undo
    assert ("rolled_back", "not possible") == (story.entry("ended").outcome, story.entry("ended").reason)


def test_a_refused_step_undoes_those_before_it() -> None:
    story = given(SAGA, done("a")).when(rejected("b")).then("failed", "unwinding", "requested")
    assert ("a",) == story.entry("unwinding").undo
    assert ("a", "undo", 1) == (story.state.step, story.state.direction, story.state.attempt)


def test_undos_run_newest_first_until_the_saga_is_rolled_back() -> None:
    story = given(SAGA, *AT_P).when(rejected("p"))
    assert ("b", "a") == story.entry("unwinding").undo
    story.when(done("b", direction="undo")).then("succeeded", "requested")
    assert ("a", "undo") == (story.state.step, story.state.direction)
    story.when(done("a", direction="undo")).then("succeeded", "ended")
    assert "rolled_back" == story.state.status


def test_a_transient_failure_is_tried_again_after_a_wait() -> None:
    story = given(SAGA).when(transient("a", draw=0.5)).then("failed", "retry_scheduled")
    assert after(0.5) == story.entry("retry_scheduled").due_at
    story.when(due(after(0.4))).then()
    story.when(due(after(0.5))).then("requested")
    assert (2, 2, True) == (story.state.attempt, story.state.tries, story.state.last)


def test_the_wait_is_never_shorter_than_what_was_asked_for() -> None:
    story = given(SAGA).when(transient("a", retry_after=90.0))
    assert after(90) == story.entry("retry_scheduled").due_at


@pytest.mark.parametrize("asked", [1e6, 1e300, float("inf")])
def test_a_wait_longer_than_a_week_is_cut_to_a_week(asked: float) -> None:
    story = given(SAGA).when(transient("a", retry_after=asked))
    assert T0 + timedelta(days=7) == story.entry("retry_scheduled").due_at


def test_a_failed_attempt_is_written_down_with_its_cause() -> None:
    story = given(SAGA).when(transient("a", progress=True))
    expected = Failed(
        at=T0,
        step="a",
        direction="do",
        attempt=1,
        verdict="transient",
        reason="busy",
        error="Busy",
        progress=True,
    )
    assert expected == story.entry("failed")


def test_a_spent_step_that_surely_did_nothing_is_not_undone() -> None:
    story = given(SAGA, done("a"), transient("b"), due()).when(transient("b", 2))
    assert ("a",) == story.entry("unwinding").undo


@pytest.mark.parametrize("last", [transient, unknown, rejected])
def test_a_step_that_once_was_in_doubt_is_undone_whatever_its_last_answer(last: Any) -> None:
    story = given(SAGA, done("a"), unknown("b"), due()).when(last("b", 2))
    assert ("b", "a") == story.entry("unwinding").undo


def test_a_step_that_made_progress_is_undone() -> None:
    story = given(SAGA, transient("a", progress=True), due()).when(rejected("a", 2))
    assert ("a",) == story.entry("unwinding").undo


def test_progress_starts_a_new_row_of_attempts() -> None:
    story = given(SAGA, transient("a"), due()).when(transient("a", 2, progress=True))
    story.then("failed", "retry_scheduled")
    story.when(due())
    assert (3, 1, False) == (story.state.attempt, story.state.tries, story.state.last)


def test_a_step_whose_budget_is_used_up_gets_one_last_attempt() -> None:
    story = given(SAGA, transient("a", progress=True)).when(due(T0 + timedelta(hours=2)))
    assert (1, True) == (story.state.tries, story.state.last)


def test_a_refused_pivot_unwinds() -> None:
    given(SAGA, *AT_P).when(rejected("p")).then("failed", "unwinding", "requested")


def test_a_pivot_refused_after_doubt_is_parked() -> None:
    story = given(SAGA, *AT_P, unknown("p"), due()).when(rejected("p", 2)).then("failed", "parked")
    expected = Parked(at=T0, step="p", direction="do", attempt=2, reason="not possible", error="Refused")
    assert expected == story.entry("parked")
    assert ("parked", None) == (story.state.status, story.state.due_at)


@pytest.mark.parametrize(("before", "step"), [(AT_P, "p"), (AT_R, "r")])
def test_a_spent_pivot_or_retriable_step_is_parked(before: tuple[Any, ...], step: str) -> None:
    given(SAGA, *before, transient(step), due()).when(transient(step, 2)).then("failed", "parked")


def test_a_refused_retriable_step_is_parked() -> None:
    given(SAGA, *AT_R).when(rejected("r")).then("failed", "parked")


def test_a_best_effort_step_that_fails_is_skipped() -> None:
    story = given(SAGA, *AT_E).when(rejected("e")).then("failed", "skipped", "ended")
    assert Skipped(at=T0, step="e", reason="not possible") == story.entry("skipped")
    assert "completed" == story.state.status


def test_a_spent_undo_is_parked() -> None:
    story = given(SAGA, done("a"), rejected("b"), transient("a", direction="undo"), due())
    story.when(unknown("a", 2, direction="undo")).then("failed", "parked")
    assert ("parked", "undo") == (story.state.status, story.state.direction)


def test_a_failure_that_is_not_awaited_is_ignored() -> None:
    given(SAGA, transient("a")).when(transient("a")).then()
    given(SAGA, transient("a"), due()).when(unknown("a", 1)).then()


def test_what_is_not_in_the_unions_is_a_programming_error() -> None:
    """Exhaustiveness is the type checker's; at run time an unknown value is never passed over in silence."""
    story = given(SAGA)
    strange: Any = SimpleNamespace(kind="strange", at=T0, reason="", error="")
    with pytest.raises(AssertionError):
        decide(SAGA, State(), strange)
    with pytest.raises(AssertionError):
        evolve(SAGA, State(), strange)
    with pytest.raises(AssertionError):
        story.when(answer("a", strange))
    bent = replace(saga_of(E), steps=(replace(E, name="a", kind=strange),))
    with pytest.raises(AssertionError):
        give_up(Draft(bent, story.state, T0), "", "", refused=True)
    with pytest.raises(AssertionError):
        mermaid(bent)
