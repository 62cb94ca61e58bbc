"""The news behind log entries: which decision of the machine wrote what stands at the head of a log."""

from collections.abc import Sequence
from dataclasses import replace

from contracts.outcomes import Done, Outcome, Rejected, Transient, Unknown
from orchestrator.core.definition import Saga
from orchestrator.core.log import (
    Accepted,
    DeadlinePassed,
    Entry,
    Failed,
    ReplayOrdered,
    Requested,
    Resent,
    ResolvedByHand,
    RetryScheduled,
    Started,
    StopAsked,
    Succeeded,
    Unwinding,
)
from orchestrator.core.machine import decide
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
from orchestrator.core.state import State

_CANCELLED = "cancelled: "


def decided(saga: Saga, state: State, log: Sequence[Entry]) -> Sequence[Entry]:
    """The entries at the head of `log` that one decision wrote; nothing if none can have written them."""
    for news in _perhaps(log[0]):
        entries = decide(saga, state, news)
        head = log[: len(entries)]
        if entries and [_plain(entry) for entry in entries] == [_plain(entry) for entry in head]:
            return head
    return ()


def _plain(entry: Entry) -> Entry:
    """Without what chance or the outside world had a part in, which no log keeps."""
    return replace(entry, due_at=entry.at) if isinstance(entry, RetryScheduled) else entry


def _perhaps(first: Entry) -> Sequence[News]:
    """What may have happened, seen from the first entry that it led to."""
    at = first.at
    match first:
        case Accepted():
            return [Accept(at=at, request=first.request)]
        case Started():
            return [Start(at=at)]
        case Requested() | Resent():
            return [Due(at=at)]
        case Succeeded():
            return [_replied(first, Done(facts=first.facts))]
        case Failed(verdict="dead_lettered"):
            return [
                DeadLettered(
                    at=at,
                    step=first.step,
                    direction=first.direction,
                    attempt=first.attempt,
                    reason=first.reason,
                )
            ]
        case Failed():
            return [_replied(first, _outcome(first))]
        case StopAsked() | Unwinding():
            cancel = Cancel(at=at, by=first.by, reason=first.reason.removeprefix(_CANCELLED))
            return [cancel, Deadline(at=at)]
        case DeadlinePassed():
            return [Deadline(at=at)]
        case ReplayOrdered():
            return [Replay(at=at, by=first.by, reason=first.reason)]
        case ResolvedByHand():
            return [Resolve(at=at, verdict=first.verdict, by=first.by, reason=first.reason)]
        case _:
            return []  # never the first entry of a decision


def _replied(entry: Succeeded | Failed, outcome: Outcome) -> Replied:
    return Replied(
        at=entry.at,
        step=entry.step,
        direction=entry.direction,
        attempt=entry.attempt,
        outcome=outcome,
        draw=0.0,
    )


def _outcome(entry: Failed) -> Outcome:
    match entry.verdict:
        case "rejected":
            return Rejected(reason=entry.reason, error=entry.error)
        case "transient":
            return Transient(reason=entry.reason, error=entry.error, progress=entry.progress)
        case _:
            return Unknown(reason=entry.reason, error=entry.error)
