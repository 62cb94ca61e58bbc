"""The transaction log in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from orchestrator.core.definition import Saga
from orchestrator.core.log import (
    Accepted,
    DeadlinePassed,
    Ended,
    Entry,
    Failed,
    Parked,
    ReplayOrdered,
    Requested,
    Resent,
    ResolvedByHand,
    RetryScheduled,
    Skipped,
    Started,
    StopAsked,
    Succeeded,
    Unwinding,
)

NAMES_OUTSIDE = frozenset({"identifier", "instrument"})

VERDICTS = {
    "rejected": "surely not done, and never will be",
    "transient": "not done this time",
    "unknown": "may or may not have happened",
    "dead_lettered": "ended in the dead letters; may have happened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An entry of a kind that only another release knows."""

    at: datetime
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One log entry. `after`: seconds since the entry before. `step` is the name of the queue that did the
    work, so an undo goes by its own name."""

    seq: int
    at: datetime
    after: float
    kind: str
    step: str
    attempt: int | None
    what: str
    reason: str
    by: str


def timeline(saga: Saga | None, entries: Iterable[Entry | Unread]) -> list[Moment]:
    """`saga`: None for a version that this release does not know."""
    moments: list[Moment] = []
    for seq, entry in enumerate(entries, 1):
        before = moments[-1].at if moments else entry.at
        moments.append(
            Moment(
                seq=seq,
                at=entry.at,
                after=(entry.at - before).total_seconds(),
                kind=entry.kind,
                step=_step(saga, entry),
                attempt=getattr(entry, "attempt", None),
                what=words(saga, entry),
                reason=getattr(entry, "reason", ""),
                by=getattr(entry, "by", ""),
            )
        )
    return moments


def queue_of(saga: Saga | None, step: str, direction: str) -> str:
    """The name that does the work: an undo has its own, if the saga's version is known."""
    known = saga.step(step) if saga and step in {each.name for each in saga.steps} else None
    return known.undo if known is not None and direction == "undo" and known.undo else step


def _step(saga: Saga | None, entry: Entry | Unread) -> str:
    step = getattr(entry, "step", "")
    return queue_of(saga, step, getattr(entry, "direction", "do")) if step else ""


def words(saga: Saga | None, entry: Entry | Unread) -> str:  # noqa: C901, PLR0911, PLR0912 - one case an entry
    match entry:
        case Unread():
            return f"{entry.kind}: another release can say what it means"
        case Accepted():
            return f"accepted; to be done by {entry.deadline_at:%Y-%m-%d %H:%M:%S}"
        case Started():
            return "its turn has come"
        case Requested():
            return "asked, for the last time" if entry.last else "asked"
        case Resent():
            return f"no answer yet: asked again ({entry.times})"
        case Succeeded():
            return f"done{_facts(entry.facts)}" if not entry.by else "counts as done"
        case Failed():
            return VERDICTS[entry.verdict] + (", but some of it is stored" if entry.progress else "")
        case RetryScheduled():
            return f"next try in {(entry.due_at - entry.at).total_seconds():.1f} s"
        case Skipped():
            return "skipped; the saga goes on without it"
        case StopAsked():
            return f"to be stopped ({entry.why}) unless usage is recorded first"
        case Unwinding():
            undone = ", ".join(queue_of(saga, step, "undo") for step in entry.undo)
            return f"turns back: {undone}" if undone else "turns back: nothing to undo"
        case Parked():
            return "parked: waits for a human"
        case ReplayOrdered():
            return "replay ordered"
        case ResolvedByHand():
            return f"settled by hand: {entry.verdict.replace('_', ' ')}"
        case DeadlinePassed():
            return "the deadline passed; too late to turn back"
        case Ended():
            return (
                "completed" if entry.outcome == "completed" else "rolled back: nothing left, nothing charged"
            )
        case _:
            assert_never(entry)


def _facts(facts: Mapping[str, Any]) -> str:
    """Numbers, and what names things outside; the rest is among the facts of the state."""
    told = [
        f"{name} {value}" for name, value in facts.items() if isinstance(value, int) or name in NAMES_OUTSIDE
    ]
    return ": " + ", ".join(told) if told else ""
