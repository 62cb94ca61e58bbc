"""The moves that decisions are made of: each appends entries to a draft and keeps its state in step."""

from datetime import datetime, timedelta
from typing import assert_never

from contracts.ids import Direction
from orchestrator.core.definition import Kind, Saga, Step
from orchestrator.core.log import Ended, Entry, Parked, Requested, Skipped, Unwinding
from orchestrator.core.state import State, evolve


class Draft:
    """Entries decided so far at one moment, and the state that they lead to."""

    def __init__(self, saga: Saga, state: State, at: datetime) -> None:
        self.saga = saga
        self.state = state
        self.at = at
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.state = evolve(self.saga, self.state, entry)

    @property
    def step(self) -> Step:
        """The current step, of a saga that has begun."""
        assert self.state.step is not None
        return self.saga.step(self.state.step)


def at_pivot(saga: Saga, state: State) -> bool:
    if state.step is None or state.direction == "undo":
        return False
    return saga.step(state.step).kind is Kind.PIVOT


def request(draft: Draft, name: str, direction: Direction) -> None:
    """Ask a step for its next attempt."""
    state, step = draft.state, draft.saga.step(name)
    same = (name, direction) == (state.step, state.direction) and state.attempt > 0
    tries = state.tries + 1 if same else 1
    elapsed = draft.at - state.first_at if same and state.first_at else timedelta(0)
    timeout = step.timeout.of(state.request)
    draft.add(
        Requested(
            at=draft.at,
            step=name,
            direction=direction,
            attempt=state.attempt + 1 if same else 1,
            tries=tries,
            last=step.retry_of(direction).is_last(tries=tries, elapsed=elapsed),
            timeout=timeout.total_seconds(),
            due_at=draft.at + timeout + step.resend[0],
        )
    )


def advance(draft: Draft) -> None:
    """The current step is settled: go on to the next one, forwards or backwards."""
    state = draft.state
    if state.direction == "undo":
        _undo_next(draft)
    elif (following := draft.saga.after(state.step)) is not None:
        request(draft, following.name, "do")
    else:
        draft.add(Ended(at=draft.at, outcome="completed"))


def unwind(draft: Draft, reason: str, by: str = "") -> None:
    """Turn back. An undo is armed when its step is asked, and dropped only if every attempt surely did
    nothing: to trust the last answer alone leaves effects of earlier, unanswered attempts behind."""
    state = draft.state
    harmless = state.waits_for != "reply" and not state.doubt and state.step not in state.facts
    undo = tuple(name for name in reversed(state.armed) if not (harmless and name == state.step))
    draft.add(Unwinding(at=draft.at, reason=reason, undo=undo, by=by))
    _undo_next(draft)


def _undo_next(draft: Draft) -> None:
    if draft.state.armed:
        request(draft, draft.state.armed[-1], "undo")
    else:
        draft.add(Ended(at=draft.at, outcome="rolled_back", reason=draft.state.reason))


def give_up(draft: Draft, reason: str, error: str, *, refused: bool) -> None:
    """The attempts of the current step are over: what its kind asks for."""
    if draft.state.direction == "undo":
        _park(draft, reason, error)
        return
    match draft.step.kind:
        case Kind.COMPENSATABLE:
            unwind(draft, reason)
        case Kind.PIVOT if not draft.state.doubt and (refused or draft.state.stop is not None):
            unwind(draft, draft.state.stop or reason)
        case Kind.PIVOT | Kind.RETRIABLE:
            _park(draft, reason, error)
        case Kind.BEST_EFFORT:
            draft.add(Skipped(at=draft.at, step=draft.step.name, reason=reason))
            advance(draft)
        case unreachable:
            assert_never(unreachable)


def _park(draft: Draft, reason: str, error: str) -> None:
    draft.add(
        Parked(
            at=draft.at,
            step=draft.step.name,
            direction=draft.state.direction,
            attempt=draft.state.attempt,
            reason=reason,
            error=error,
        )
    )
