"""The attempts that led to a dead letter are told from the log."""

from orchestrator.operate.attempts import attempts, causes
from tests.kit.given import after, dies, done, due, given, rejected, replay, transient, unknown
from tests.kit.small import A, P, R, saga_of

SAGA = saga_of(A, P, R)
SPENT = given(SAGA, done("a"), unknown("p", at=after(1)), due(after(600)), unknown("p", 2, at=after(601)))


def test_each_attempt_tells_when_it_was_asked_and_what_it_answered() -> None:
    first, second = attempts(SPENT.log, "p", "do", upto=2)
    assert (1, after(0), after(1), "unknown", "TimedOut", "no answer") == (
        first.attempt, first.asked_at, first.answered_at, first.answer, first.error, first.reason,
    )  # fmt: skip
    assert (2, after(600), after(601)) == (second.attempt, second.asked_at, second.answered_at)
    assert "TimedOut 2 times" == causes([first, second])


def test_what_came_after_the_letter_is_left_out_and_so_are_other_steps() -> None:
    story = given(SAGA, done("a"), dies("p"), replay(), done("p", 2))
    assert [1] == [each.attempt for each in attempts(story.log, "p", "do", upto=1)]
    assert ["done"] == [each.answer for each in attempts(story.log, "a", "do", upto=9)]
    assert [] == attempts(story.log, "a", "undo", upto=9)


def test_a_replayed_attempt_names_who_ordered_it() -> None:
    story = given(SAGA, done("a"), dies("p"), replay())
    first, second = attempts(story.log, "p", "do", upto=9)
    assert ("dead_lettered", "") == (first.answer, first.replayed_by)
    assert ("", None, "ann") == (second.answer, second.answered_at, second.replayed_by)


def test_commands_that_were_sent_again_for_want_of_an_answer_are_counted() -> None:
    story = given(SAGA, due(after(100)), due(after(1000)), transient("a"), due(after(2000)), rejected("a", 2))
    first, second = attempts(story.log, "a", "do", upto=9)
    assert (2, 0) == (first.asked_again, second.asked_again)
    assert "Busy, Refused" == causes([first, second])
