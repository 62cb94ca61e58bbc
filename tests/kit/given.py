"""given / when / then for the machine: a test reads as the story of one saga.

    given(saga).when(done("a"), rejected("p")).then("failed", "unwinding", "requested")

`then` compares the kinds of what the last news appended.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from contracts.ids import Direction
from contracts.outcomes import Done, Outcome, Rejected, Transient, Unknown
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry
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
from orchestrator.core.state import State, evolve

T0 = datetime(2027, 1, 1, tzinfo=UTC)
REQUEST = {"leads": 10}


class Story:
    def __init__(self, saga: Saga) -> None:
        self.saga = saga
        self.state = State()
        self.log: list[Entry] = []
        self.appended: tuple[Entry, ...] = ()

    def when(self, *news: News) -> "Story":
        for each in news:
            self.appended = decide(self.saga, self.state, each)
            for entry in self.appended:
                self.state = evolve(self.saga, self.state, entry)
            self.log += self.appended
        return self

    def then(self, *kinds: str) -> "Story":
        assert kinds == tuple(entry.kind for entry in self.appended)
        return self

    def entry(self, kind: str) -> Any:
        """The one entry of this kind that the last news appended."""
        (found,) = (entry for entry in self.appended if entry.kind == kind)
        return found


def new(saga: Saga) -> Story:
    return Story(saga)


def given(saga: Saga, *news: News) -> Story:
    """A saga that was accepted and started, and then heard `news`."""
    return Story(saga).when(accept(), start(), *news)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def accept(at: datetime = T0) -> Accept:
    return Accept(at=at, request=REQUEST)


def start(at: datetime = T0) -> Start:
    return Start(at=at)


def answer(
    step: str,
    outcome: Outcome,
    *,
    attempt: int = 1,
    direction: Direction = "do",
    at: datetime = T0,
    draw: float = 0.5,
) -> Replied:
    return Replied(at=at, step=step, direction=direction, attempt=attempt, outcome=outcome, draw=draw)


def done(step: str, attempt: int = 1, facts: dict[str, Any] | None = None, **more: Any) -> Replied:
    return answer(step, Done(facts=facts or {}), attempt=attempt, **more)


def rejected(step: str, attempt: int = 1, **more: Any) -> Replied:
    return answer(step, Rejected(reason="not possible", error="Refused"), attempt=attempt, **more)


def transient(
    step: str, attempt: int = 1, *, retry_after: float | None = None, progress: bool = False, **more: Any
) -> Replied:
    outcome = Transient(reason="busy", error="Busy", retry_after=retry_after, progress=progress)
    return answer(step, outcome, attempt=attempt, **more)


def unknown(step: str, attempt: int = 1, **more: Any) -> Replied:
    return answer(step, Unknown(reason="no answer", error="TimedOut"), attempt=attempt, **more)


def due(at: datetime | None = None) -> Due:
    """Ten minutes later, unless told otherwise: after every wait for a retry or a first answer."""
    return Due(at=at or T0 + timedelta(minutes=10))


def deadline(at: datetime | None = None) -> Deadline:
    return Deadline(at=at or T0 + timedelta(hours=24))


def cancel() -> Cancel:
    return Cancel(at=T0, by="upstream", reason="changed my mind")


def dies(step: str, attempt: int = 1, direction: Direction = "do") -> DeadLettered:
    return DeadLettered(at=T0, step=step, direction=direction, attempt=attempt, reason="kills its consumer")


def replay(at: datetime = T0) -> Replay:
    return Replay(at=at, by="ann", reason="the vendor is back")


def resolve(verdict: Literal["done", "not_done"]) -> Resolve:
    return Resolve(at=T0, verdict=verdict, by="ann", reason="looked it up")
