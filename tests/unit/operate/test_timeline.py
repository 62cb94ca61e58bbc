"""Every entry that the log can hold is told in words."""

from datetime import timedelta
from typing import Any, get_args

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
from orchestrator.operate.timeline import timeline
from orchestrator.sagas.lead import LEAD
from tests.kit.given import T0, after

STEP: dict[str, Any] = {"step": "generate_leads", "direction": "do", "attempt": 2}
ENTRIES: list[tuple[Entry, str]] = [
    (Accepted(at=T0, request={}, deadline_at=after(3600)), "accepted; to be done by 2027-01-01 01:00:00"),
    (Started(at=T0), "its turn has come"),
    (
        Requested(at=T0, **STEP, tries=1, last=True, timeout=1.0, due_at=after(1)),
        "asked, for the last time",
    ),
    (Resent(at=T0, **STEP, times=2, due_at=after(1)), "no answer yet: asked again (2)"),
    (Succeeded(at=T0, **STEP, facts={"leads": 4, "at": None}), "done: leads 4"),
    (Succeeded(at=T0, **STEP, by="ann"), "counts as done"),
    (
        Failed(at=T0, **STEP, verdict="transient", reason="busy", progress=True),
        "not done this time, but some of it is stored",
    ),
    (RetryScheduled(at=T0, step="generate_leads", direction="do", due_at=after(2.5)), "next try in 2.5 s"),
    (Skipped(at=T0, step="notify_discord", reason="down"), "skipped; the saga goes on without it"),
    (
        StopAsked(at=T0, why="cancel", reason="x"),
        "to be stopped (cancel) unless usage is recorded first",
    ),
    (
        Unwinding(at=T0, reason="x", undo=("generate_leads", "reserve_quota")),
        "turns back: discard_leads, release_quota",
    ),
    (Unwinding(at=T0, reason="x", undo=()), "turns back: nothing to undo"),
    (Parked(at=T0, **STEP, reason="x"), "parked: waits for a human"),
    (ReplayOrdered(at=T0, by="ann", reason="x"), "replay ordered"),
    (
        ResolvedByHand(at=T0, step="record_usage", direction="do", verdict="not_done", by="ann", reason="x"),
        "settled by hand: not done",
    ),
    (DeadlinePassed(at=T0), "the deadline passed; too late to turn back"),
    (Ended(at=T0, outcome="completed"), "completed"),
    (Ended(at=T0, outcome="rolled_back", reason="x"), "rolled back: nothing left, nothing charged"),
]


def test_every_kind_of_entry_has_its_words() -> None:
    told = timeline(LEAD, [entry for entry, _ in ENTRIES])
    assert [words for _, words in ENTRIES] == [moment.what for moment in told]
    assert set(get_args(Entry)) == {type(entry) for entry, _ in ENTRIES}


def test_a_moment_says_when_who_and_which_undo() -> None:
    undo: dict[str, Any] = {"step": "generate_leads", "direction": "undo", "attempt": 1}
    first = Started(at=T0)
    second = Succeeded(at=T0 + timedelta(seconds=1.5), **undo, by="ann")
    told = timeline(LEAD, [first, second])[1]
    assert (2, 1.5, "discard_leads", 1, "ann") == (told.seq, told.after, told.step, told.attempt, told.by)
