"""The saga machine: what to append to the log when something happens. Pure: no clock, no chance, no I/O."""

from datetime import timedelta
from typing import assert_never

from contracts.outcomes import Done, Failure, Rejected, Transient, Unknown
from orchestrator.core import orders
from orchestrator.core.definition import Saga
from orchestrator.core.log import Accepted, Entry, Failed, Resent, RetryScheduled, Started, Succeeded
from orchestrator.core.moves import Draft, advance, give_up, request, unwind
from orchestrator.core.news import (
    Accept,
    Cancel,
    DeadLettered,
    Deadline,
    Due,
    News,
    Replay,
    Replied,
    Resolve,
    Start,
)
from orchestrator.core.retry import LONGEST_WAIT
from orchestrator.core.state import State


def decide(saga: Saga, state: State, news: News) -> tuple[Entry, ...]:
    """What to append to the log. Never raises, never waits, the same answer for the same input; nothing for
    news that no longer matters."""
    return tuple(take(saga, state, news).entries)


def take(saga: Saga, state: State, news: News) -> Draft:
    """The same decision, with the state that it leads to: `evolve` folded over its entries, which need not be
    folded once more."""
    draft = Draft(saga, state, news.at)
    match news:
        case Accept():
            _accept(draft, news)
        case Start():
            _start(draft, news)
        case Replied():
            _replied(draft, news)
        case Due():
            _due(draft)
        case DeadLettered():
            _dead_lettered(draft, news)
        case Deadline():
            orders.deadline(draft, news)
        case Cancel():
            orders.cancel(draft, news)
        case Replay():
            orders.replay(draft, news)
        case Resolve():
            orders.resolve(draft, news)
        case _:
            assert_never(news)
    return draft


def _accept(draft: Draft, news: Accept) -> None:
    if draft.state.status == "new":
        deadline_at = news.at + draft.saga.deadline
        draft.add(Accepted(at=news.at, request=news.request, deadline_at=deadline_at))


def _start(draft: Draft, news: Start) -> None:
    if draft.state.status == "waiting":
        draft.add(Started(at=news.at))
        request(draft, draft.saga.steps[0].name, "do")


def _is_current(state: State, news: Replied | DeadLettered) -> bool:
    live = state.status in {"running", "unwinding", "parked"}
    return live and (news.step, news.direction) == (state.step, state.direction)


def _is_awaited(state: State, news: Replied | DeadLettered) -> bool:
    return _is_current(state, news) and state.waits_for == "reply" and news.attempt == state.attempt


def _replied(draft: Draft, news: Replied) -> None:
    if isinstance(news.outcome, Done):
        # Done of any attempt counts, also while the saga waits for a retry or is parked.
        if _is_current(draft.state, news) and news.attempt <= draft.state.attempt:
            _succeeded(draft, news, news.outcome)
    elif _is_awaited(draft.state, news):
        _failed(draft, news, news.outcome)


def _succeeded(draft: Draft, news: Replied, outcome: Done) -> None:
    draft.add(
        Succeeded(
            at=news.at,
            step=news.step,
            direction=news.direction,
            attempt=news.attempt,
            facts=outcome.facts,
        )
    )
    advance(draft)


def _failed(draft: Draft, news: Replied, outcome: Failure) -> None:
    progress = isinstance(outcome, Transient) and outcome.progress
    draft.add(
        Failed(
            at=news.at,
            step=news.step,
            direction=news.direction,
            attempt=news.attempt,
            verdict=outcome.kind,
            reason=outcome.reason,
            error=outcome.error,
            progress=progress,
        )
    )
    match outcome:
        case Rejected():
            give_up(draft, outcome.reason, outcome.error, refused=True)
        case Transient() | Unknown():
            # Progress starts a new row of attempts, so an attempt that made some cannot be the last one.
            if draft.state.last and not progress:
                give_up(draft, outcome.reason, outcome.error, refused=False)
            else:
                _try_again(draft, news, outcome)
        case _:
            assert_never(outcome)


def _try_again(draft: Draft, news: Replied, outcome: Transient | Unknown) -> None:
    state = draft.state
    if state.stop is not None and not state.doubt:
        unwind(draft, state.stop)
        return
    asked = outcome.retry_after if isinstance(outcome, Transient) else None
    wait = draft.step.retry_of(news.direction).delay_after(
        tries=max(state.tries, 1),
        draw=news.draw,
        retry_after=None if asked is None else timedelta(seconds=min(asked, LONGEST_WAIT.total_seconds())),
    )
    draft.add(RetryScheduled(at=news.at, step=news.step, direction=news.direction, due_at=news.at + wait))


def _due(draft: Draft) -> None:
    state = draft.state
    if state.step is None or state.due_at is None or state.due_at > draft.at:
        return
    if state.waits_for == "retry":
        request(draft, state.step, state.direction)
        return
    # Nothing is spent: an attempt is timed where it runs; here the command is lost, or still queued.
    times = state.resends + 1
    waits = draft.step.resend
    wait = timedelta(seconds=state.timeout) + waits[min(times, len(waits) - 1)]
    draft.add(
        Resent(
            at=draft.at,
            step=state.step,
            direction=state.direction,
            attempt=state.attempt,
            times=times,
            due_at=draft.at + wait,
        )
    )


def _dead_lettered(draft: Draft, news: DeadLettered) -> None:
    if not _is_awaited(draft.state, news):
        return
    draft.add(
        Failed(
            at=news.at,
            step=news.step,
            direction=news.direction,
            attempt=news.attempt,
            verdict="dead_lettered",
            reason=news.reason,
            error="DeadLettered",
        )
    )
    give_up(draft, news.reason, "DeadLettered", refused=False)
