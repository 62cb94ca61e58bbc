"""What people and deadlines ask of a saga that is under way."""

from orchestrator.core.definition import Saga
from orchestrator.core.log import (
    DeadlinePassed,
    ReplayOrdered,
    ResolvedByHand,
    StopAsked,
    Succeeded,
)
from orchestrator.core.moves import Draft, advance, at_pivot, request, unwind
from orchestrator.core.news import Cancel, Deadline, Replay, Resolve
from orchestrator.core.state import State


def deadline(draft: Draft, news: Deadline) -> None:
    state = draft.state
    if state.deadline_at is None or state.deadline_at > news.at:
        return
    if state.pivoted:
        draft.add(DeadlinePassed(at=news.at))
    else:
        _stop(draft, StopAsked(at=news.at, why="deadline", reason="the deadline has passed"))


def can_cancel(state: State) -> bool:
    """Until the pivot has happened, and unless the saga is turning back already."""
    on_its_way = state.status in {"waiting", "running", "parked"} and state.direction == "do"
    return on_its_way and not state.pivoted and state.stop is None


def cancel(draft: Draft, news: Cancel) -> None:
    if can_cancel(draft.state):
        reason = f"cancelled: {news.reason}"
        _stop(draft, StopAsked(at=news.at, why="cancel", reason=reason, by=news.by))


def _stop(draft: Draft, entry: StopAsked) -> None:
    """Before the pivot is asked for, unwind; while it may be happening, let its answer decide."""
    if at_pivot(draft.saga, draft.state) and (draft.state.waits_for == "reply" or draft.state.doubt):
        draft.add(entry)
    else:
        unwind(draft, entry.reason, entry.by)


def replay(draft: Draft, news: Replay) -> None:
    if draft.state.status == "parked":
        draft.add(ReplayOrdered(at=news.at, by=news.by, reason=news.reason))
        request(draft, draft.step.name, draft.state.direction)


def can_resolve(saga: Saga, state: State, verdict: str) -> bool:
    """A parked step may be declared done; only a pivot may be declared not done, for only before it can
    a saga still be rolled back."""
    return state.status == "parked" and (verdict == "done" or at_pivot(saga, state))


def resolve(draft: Draft, news: Resolve) -> None:
    state = draft.state
    if not can_resolve(draft.saga, state, news.verdict):
        return
    draft.add(
        ResolvedByHand(
            at=news.at,
            step=draft.step.name,
            direction=state.direction,
            verdict=news.verdict,
            by=news.by,
            reason=news.reason,
        )
    )
    if news.verdict == "not_done":
        unwind(draft, news.reason, news.by)
        return
    draft.add(
        Succeeded(
            at=news.at,
            step=draft.step.name,
            direction=state.direction,
            attempt=state.attempt,
            by=news.by,
        )
    )
    advance(draft)
