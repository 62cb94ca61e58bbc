"""Answers that are late, lost, or come from the dead letters."""

from datetime import timedelta

from orchestrator.core.definition import RESEND_DEFERRED, retriable
from orchestrator.core.log import Resent
from tests.kit.given import T0, after, dies, done, due, given, new, rejected, transient, unknown
from tests.kit.small import TWICE, A, E, P, R, saga_of

SAGA = saga_of(A, P, R, E)


def test_a_missing_answer_has_the_same_attempt_sent_again() -> None:
    story = given(SAGA).when(due(after(35))).then("resent")
    expected = Resent(
        at=after(35), step="a", direction="do", attempt=1, times=1, due_at=after(35) + timedelta(seconds=125)
    )
    assert expected == story.entry("resent")


def test_a_command_is_sent_again_ever_more_patiently() -> None:
    story = given(SAGA)
    waits = []
    for _ in range(4):
        assert story.state.due_at is not None
        asked = story.state.due_at
        story.when(due(asked))
        waits.append((story.entry("resent").due_at - asked).total_seconds())
    assert [125.0, 605.0, 605.0, 605.0] == waits
    assert 4 == story.state.resends


def test_a_missing_answer_spends_no_attempt() -> None:
    story = given(SAGA)
    for hour in range(1, 30):
        story.when(due(T0 + timedelta(hours=hour))).then("resent")
    assert (1, 1, False) == (story.state.attempt, story.state.tries, story.state.doubt)


def test_a_deferred_answer_is_asked_for_again_rarely() -> None:
    story = given(saga_of(P, retriable("r", retry=TWICE, timeout=timedelta(seconds=5), answered_by="flush")))
    story.when(done("p"))
    assert timedelta(seconds=5) + RESEND_DEFERRED[0] == story.entry("requested").due_at - T0


def test_nothing_is_due_before_its_time() -> None:
    given(SAGA).when(due(after(34))).then()
    new(SAGA).when(due()).then()


def test_a_success_counts_while_the_saga_waits_for_a_retry() -> None:
    given(SAGA, unknown("a")).when(done("a")).then("succeeded", "requested")


def test_a_success_of_an_earlier_attempt_counts_while_a_later_one_is_awaited() -> None:
    story = given(SAGA, unknown("a"), due()).when(done("a")).then("succeeded", "requested")
    assert 1 == story.entry("succeeded").attempt


def test_a_success_counts_while_the_saga_is_parked() -> None:
    story = given(SAGA, done("a"), unknown("p"), due(), unknown("p", 2))
    assert "parked" == story.state.status
    story.when(done("p", 2)).then("succeeded", "requested")
    assert ("running", "r") == (story.state.status, story.state.step)


def test_a_success_that_arrives_while_unwinding_is_too_late() -> None:
    given(SAGA, unknown("a"), due(), unknown("a", 2)).when(done("a", 2)).then()


def test_a_dead_lettered_command_may_have_had_an_effect() -> None:
    story = given(SAGA).when(dies("a")).then("failed", "unwinding", "requested")
    assert ("dead_lettered", "DeadLettered") == (story.entry("failed").verdict, story.entry("failed").error)
    assert ("a",) == story.entry("unwinding").undo


def test_a_dead_lettered_pivot_is_parked() -> None:
    given(SAGA, done("a")).when(dies("p")).then("failed", "parked")


def test_a_dead_lettered_undo_is_parked() -> None:
    given(SAGA, done("a"), rejected("p")).when(dies("a", direction="undo")).then("failed", "parked")


def test_a_dead_lettered_best_effort_step_is_skipped() -> None:
    given(SAGA, done("a"), done("p"), done("r")).when(dies("e")).then("failed", "skipped", "ended")


def test_a_dead_letter_that_nobody_waits_for_is_moot() -> None:
    given(SAGA, transient("a")).when(dies("a")).then()
    given(SAGA, done("a")).when(dies("a")).then()
