"""What must hold for a saga whatever happens, checked against the hidden world and not against the log."""

from collections.abc import Sequence

from orchestrator.core.definition import Kind, Saga
from orchestrator.core.log import Ended, Entry, Resent, Succeeded
from orchestrator.core.news import DeadLettered, Due, News, Replied
from orchestrator.core.state import State
from tests.kit.world import Side


class Violation(AssertionError):
    """A promise was broken."""


def check(holds: bool, promise: str) -> None:
    if not holds:
        raise Violation(promise)


def check_decision(saga: Saga, state: State, news: News, entries: Sequence[Entry]) -> None:
    """What may be appended for these news in this state."""
    check(not (state.ended and entries), "a saga that has ended appends nothing")
    if isinstance(news, Replied | DeadLettered):
        current = (news.step, news.direction) == (state.step, state.direction) and not state.ended
        check(current or not entries, "news of another step append nothing")
        done = isinstance(news, Replied) and news.outcome.kind == "done"
        taken = any(isinstance(entry, Succeeded) for entry in entries)
        check(taken or not (done and current), "a Done of the current step is never lost")
    if isinstance(news, Due) and state.waits_for == "reply":
        same = [(entry.step, entry.attempt) for entry in entries if isinstance(entry, Resent)]
        check(len(entries) == len(same) <= 1, "a missing answer spends no attempt")
        check(set(same) <= {(state.step, state.attempt)}, "a missing answer asks for the same attempt")
    ends = [place for place, entry in enumerate(entries) if isinstance(entry, Ended)]
    check(ends in ([], [len(entries) - 1]), "a saga ends once, and nothing follows")


def check_world(saga: Saga, state: State, sides: Sequence[Side]) -> None:
    """What must be true of a saga and the world together, at every moment."""
    check(all(side.there <= 1 for side in sides), "an effect happens at most once")
    _check_waiting(saga, state, sides)
    there = {step.name: bool(side.there) for step, side in zip(saga.steps, sides, strict=True)}
    owed = [step for step in saga.steps if step.kind is not Kind.BEST_EFFORT]
    if state.status == "completed":
        check(all(there[step.name] for step in owed), "a completed saga did everything")
    if state.status == "rolled_back":
        check(not any(there[step.name] for step in owed), "a rolled back saga leaves nothing behind")
    if state.direction == "undo":
        _check_unwinding(saga, state, there)


def _check_waiting(saga: Saga, state: State, sides: Sequence[Side]) -> None:
    if state.status in {"running", "unwinding"}:
        check(state.waits_for is not None and state.due_at is not None, "a live saga waits for something")
    if state.status == "parked":
        check(bool(state.reason and state.step), "a parked saga says where and why")
        check(state.waits_for is None and state.due_at is None, "a parked saga waits for a human only")
        check(state.stop is None or state.doubt, "a saga asked to stop is parked only while in doubt")
    if state.step is not None and not state.ended:
        side = sides[[step.name for step in saga.steps].index(state.step)]
        known = side.accounted(state.direction)
        check(state.attempt <= known + 1, "an attempt follows only an answered or dead-lettered one")


def _check_unwinding(saga: Saga, state: State, there: dict[str, bool]) -> None:
    newer: set[str] = set()
    for step in reversed(saga.steps):
        if step.name == state.step:
            break
        newer.add(step.name)
        if step.kind is Kind.PIVOT:
            check(not (state.pivoted or there[step.name]), "nothing is undone after the pivot")
        elif step.kind is Kind.COMPENSATABLE:
            check(not there[step.name], "undos run newest first, and stay undone")
