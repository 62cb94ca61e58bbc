"""The way forward: a saga asks one step after the other and ends completed."""

from datetime import timedelta

from orchestrator.core.log import Accepted, Ended, Requested, Succeeded
from orchestrator.core.state import State, replay
from tests.kit.given import REQUEST, T0, accept, after, done, given, new, rejected, start
from tests.kit.small import A, B, E, P, R, saga_of

SAGA = saga_of(A, P, R)


def test_an_accepted_saga_waits_for_its_turn_and_knows_its_deadline() -> None:
    story = new(SAGA).when(accept()).then("accepted")
    assert (Accepted(at=T0, request=REQUEST, deadline_at=T0 + timedelta(hours=24)),) == story.appended
    assert "waiting" == story.state.status


def test_a_second_acceptance_changes_nothing() -> None:
    new(SAGA).when(accept(), accept()).then()


def test_a_start_asks_the_first_step_for_its_first_attempt() -> None:
    story = given(SAGA).then("started", "requested")
    expected = Requested(
        at=T0, step="a", direction="do", attempt=1, tries=1, last=False, timeout=5.0, due_at=after(35)
    )
    assert expected == story.entry("requested")
    assert "running" == story.state.status


def test_only_a_waiting_saga_can_be_started() -> None:
    new(SAGA).when(start()).then()
    given(SAGA).when(start()).then()


def test_a_done_step_hands_on_to_the_next_one_with_its_facts() -> None:
    story = given(SAGA).when(done("a", facts={"leads": 7}))
    first = Succeeded(at=T0, step="a", direction="do", attempt=1, facts={"leads": 7})
    assert first == story.appended[0]
    assert "p" == story.entry("requested").step
    assert {"a": {"leads": 7}} == story.state.facts


def test_after_the_last_step_the_saga_is_completed() -> None:
    story = given(SAGA, done("a"), done("p")).when(done("r")).then("succeeded", "ended")
    assert Ended(at=T0, outcome="completed") == story.entry("ended")
    assert story.state.ended
    assert story.state.due_at is None
    assert story.state.deadline_at is None


def test_the_same_answer_twice_is_heard_once() -> None:
    given(SAGA, done("a")).when(done("a")).then()


def test_an_answer_of_a_later_step_is_a_stray() -> None:
    given(SAGA).when(done("p"), done("a", direction="undo")).then()


def test_an_answer_to_an_attempt_that_was_never_asked_for_is_a_stray() -> None:
    given(SAGA).when(done("a", attempt=2)).then()


def test_an_ended_saga_hears_nothing_any_more() -> None:
    given(SAGA, done("a"), done("p"), done("r")).when(done("r"), rejected("r"), start()).then()


def test_the_command_in_flight_remembers_the_answer_that_led_to_it() -> None:
    assert ("a", "do", 1) == given(SAGA, done("a")).state.cause


def test_the_state_is_nothing_but_the_fold_of_the_log() -> None:
    story = given(saga_of(A, B, P, E), done("a"), done("b"), rejected("p"), done("b", direction="undo"))
    assert story.state == replay(story.saga, story.log)
    assert State() == replay(story.saga, [])
