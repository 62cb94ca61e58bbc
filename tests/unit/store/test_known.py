"""What a process remembers of the sagas it wrote, and what it forgets."""

from dataclasses import replace

from orchestrator.sagas.lead import LEAD
from orchestrator.store.known import MOST, Known
from tests.kit.store_world import accepted, change, incoming, saga_id, start


def test_a_saga_is_known_as_its_last_change_left_it() -> None:
    known, first = Known(), accepted(incoming(1))
    known.learn([first])
    key = ("acme", saga_id(1))
    stored = known.among([key])[key]
    assert (1, first.state) == (stored.entries, stored.state)
    second = change(LEAD, stored, start())
    known.learn([second])
    assert (1 + len(second.entries), second.state) == (known.sagas[key].entries, known.sagas[key].state)


def test_what_is_not_known_is_left_out() -> None:
    assert {} == Known().among([("acme", saga_id(1))])


def test_a_saga_that_has_ended_is_forgotten() -> None:
    known, first = Known(), accepted(incoming(1))
    known.learn([first])
    known.learn([replace(first, state=replace(first.state, status="completed"))])
    assert {} == known.sagas


def test_what_was_learned_first_is_forgotten_once_there_is_too_much() -> None:
    known = Known()
    known.learn(accepted(incoming(number)) for number in range(1, MOST + 3))
    assert MOST == len(known.sagas)
    assert {} == known.among([("acme", saga_id(1)), ("acme", saga_id(2))])
