"""Cancels, deadlines, replays and what operators settle by hand."""

from datetime import timedelta

import pytest

from orchestrator.core.log import ReplayOrdered, ResolvedByHand
from orchestrator.core.news import News
from orchestrator.core.orders import can_cancel, can_resolve
from tests.kit.given import (
    T0,
    Story,
    accept,
    cancel,
    deadline,
    dies,
    done,
    due,
    given,
    new,
    rejected,
    replay,
    resolve,
    transient,
    unknown,
)
from tests.kit.small import A, P, R, saga_of

SAGA = saga_of(A, P, R)
STOPS = [cancel(), deadline()]


def parked_at_pivot() -> Story:
    return given(SAGA, done("a"), dies("p"))


def parked_undo() -> Story:
    return given(SAGA, done("a"), rejected("p"), dies("a", direction="undo"))


@pytest.mark.parametrize("stop", STOPS)
def test_a_saga_that_never_started_is_stopped_at_once(stop: News) -> None:
    new(SAGA).when(accept(), stop).then("unwinding", "ended")


@pytest.mark.parametrize("stop", STOPS)
def test_before_the_pivot_a_stop_unwinds_the_step_in_flight_too(stop: News) -> None:
    story = given(SAGA).when(stop).then("unwinding", "requested")
    assert ("a",) == story.entry("unwinding").undo


def test_a_stop_says_why_and_who() -> None:
    story = given(SAGA).when(cancel())
    assert ("cancelled: changed my mind", "upstream") == (
        story.entry("unwinding").reason,
        story.entry("unwinding").by,
    )
    assert "the deadline has passed" == given(SAGA).when(deadline()).entry("unwinding").reason


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_during_the_pivot_waits_for_its_answer(stop: News) -> None:
    given(SAGA, done("a")).when(stop).then("stop_asked")


def test_a_pivot_that_happened_in_spite_of_a_stop_goes_forward() -> None:
    story = given(SAGA, done("a"), cancel()).when(done("p")).then("succeeded", "requested")
    assert ("r", None) == (story.state.step, story.state.stop)


@pytest.mark.parametrize("clean", [rejected("p"), transient("p")])
def test_a_pivot_that_surely_did_not_happen_unwinds_after_a_stop(clean: News) -> None:
    given(SAGA, done("a"), cancel()).when(clean).then("failed", "unwinding", "requested")


def test_the_last_attempt_of_a_pivot_that_surely_did_not_happen_unwinds_after_a_stop() -> None:
    story = given(SAGA, done("a"), transient("p"), due(), cancel())
    story.when(transient("p", 2)).then("failed", "unwinding", "requested")
    assert "cancelled: changed my mind" == story.state.reason


def test_a_pivot_in_doubt_is_asked_again_after_a_stop() -> None:
    given(SAGA, done("a"), cancel()).when(unknown("p")).then("failed", "retry_scheduled")


def test_a_pivot_still_in_doubt_after_its_last_attempt_is_parked_although_a_stop_was_asked_for() -> None:
    story = given(SAGA, done("a"), cancel(), unknown("p"), due()).when(transient("p", 2))
    story.then("failed", "parked")


def test_a_stop_while_the_pivot_waits_for_a_retry_unwinds_unless_it_is_in_doubt() -> None:
    given(SAGA, done("a"), transient("p")).when(cancel()).then("unwinding", "requested")
    given(SAGA, done("a"), unknown("p")).when(cancel()).then("stop_asked")


def test_a_parked_pivot_that_surely_did_not_happen_can_be_cancelled() -> None:
    story = given(SAGA, done("a"), transient("p"), due(), transient("p", 2))
    story.when(cancel()).then("unwinding", "requested")


def test_after_the_pivot_a_deadline_is_an_alert_and_a_cancel_is_nothing() -> None:
    story = given(SAGA, done("a"), done("p"))
    assert not can_cancel(story.state)
    story.when(cancel()).then()
    story.when(deadline()).then("deadline_passed")
    story.when(deadline()).then()


def test_a_deadline_before_its_time_is_nothing() -> None:
    given(SAGA).when(deadline(T0 + timedelta(hours=23))).then()


@pytest.mark.parametrize("stop", STOPS)
def test_a_saga_is_stopped_once(stop: News) -> None:
    given(SAGA, cancel()).when(stop).then()
    given(SAGA, done("a"), cancel()).when(stop).then()


def test_a_replay_asks_the_parked_step_for_a_new_attempt_with_new_patience() -> None:
    story = parked_at_pivot().when(replay()).then("replay_ordered", "requested")
    assert ReplayOrdered(at=T0, by="ann", reason="the vendor is back") == story.entry("replay_ordered")
    assert ("running", 2, 1, False) == (
        story.state.status,
        story.state.attempt,
        story.state.tries,
        story.state.last,
    )


def test_a_replay_keeps_the_doubt_of_earlier_attempts() -> None:
    parked_at_pivot().when(replay()).when(rejected("p", 2)).then("failed", "parked")


def test_a_parked_undo_can_be_replayed() -> None:
    story = parked_undo().when(replay()).then("replay_ordered", "requested")
    assert ("unwinding", "undo", 2) == (story.state.status, story.state.direction, story.state.attempt)


def test_only_a_parked_saga_can_be_replayed_or_settled() -> None:
    given(SAGA).when(replay()).then()
    given(SAGA).when(resolve("done")).then()


def test_a_step_settled_as_done_goes_on_as_if_it_had_answered() -> None:
    story = parked_at_pivot().when(resolve("done")).then("resolved_by_hand", "succeeded", "requested")
    expected = ResolvedByHand(
        at=T0, step="p", direction="do", verdict="done", by="ann", reason="looked it up"
    )
    assert expected == story.entry("resolved_by_hand")
    assert "ann" == story.entry("succeeded").by
    assert story.state.pivoted


def test_an_undo_settled_as_done_goes_on_unwinding() -> None:
    story = parked_undo().when(resolve("done")).then("resolved_by_hand", "succeeded", "ended")
    assert "rolled_back" == story.state.status


def test_a_pivot_settled_as_not_done_unwinds() -> None:
    story = parked_at_pivot().when(resolve("not_done")).then("resolved_by_hand", "unwinding", "requested")
    assert ("looked it up", "ann") == (story.entry("unwinding").reason, story.entry("unwinding").by)


@pytest.mark.parametrize("story", [parked_undo, lambda: given(SAGA, done("a"), done("p"), dies("r"))])
def test_only_a_pivot_can_be_settled_as_not_done(story: object) -> None:
    assert callable(story)
    told = story()
    assert not can_resolve(SAGA, told.state, "not_done")
    told.when(resolve("not_done")).then()
