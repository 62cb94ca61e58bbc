"""Everything the transaction log can hold. An entry is written once and never changed; `kind` is its name
in the database, so a class may gain fields with defaults but never lose or rename one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from contracts.ids import Direction

Verdict = Literal["rejected", "transient", "unknown", "dead_lettered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    at: datetime
    request: dict[str, Any]
    deadline_at: datetime
    kind: Literal["accepted"] = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    at: datetime
    kind: Literal["started"] = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A step was asked for an attempt: from here on its effect may exist."""

    at: datetime
    step: str
    direction: Direction
    attempt: int
    tries: int
    last: bool
    timeout: float
    due_at: datetime
    kind: Literal["requested"] = "requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """No answer in time: the command was lost, or is still queued. The same attempt was sent again."""

    at: datetime
    step: str
    direction: Direction
    attempt: int
    times: int
    due_at: datetime
    kind: Literal["resent"] = "resent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    at: datetime
    step: str
    direction: Direction
    attempt: int
    facts: dict[str, Any] = field(default_factory=dict)
    by: str = ""
    kind: Literal["succeeded"] = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    at: datetime
    step: str
    direction: Direction
    attempt: int
    verdict: Verdict
    reason: str
    error: str = ""
    progress: bool = False
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    at: datetime
    step: str
    direction: Direction
    due_at: datetime
    kind: Literal["retry_scheduled"] = "retry_scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A best-effort step gave up; the saga goes on without it."""

    at: datetime
    step: str
    reason: str
    kind: Literal["skipped"] = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """The saga should unwind, but its pivot may just be happening: its answer decides."""

    at: datetime
    why: Literal["cancel", "deadline"]
    reason: str
    by: str = ""
    kind: Literal["stop_asked"] = "stop_asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwinding:
    """`undo` lists the steps that may have had an effect, newest first."""

    at: datetime
    reason: str
    undo: tuple[str, ...]
    by: str = ""
    kind: Literal["unwinding"] = "unwinding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    at: datetime
    step: str
    direction: Direction
    attempt: int
    reason: str
    error: str = ""
    kind: Literal["parked"] = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrdered:
    at: datetime
    by: str
    reason: str
    kind: Literal["replay_ordered"] = "replay_ordered"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedByHand:
    at: datetime
    step: str
    direction: Direction
    verdict: Literal["done", "not_done"]
    by: str
    reason: str
    kind: Literal["resolved_by_hand"] = "resolved_by_hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    """Too late to turn back: an alert, nothing more."""

    at: datetime
    kind: Literal["deadline_passed"] = "deadline_passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    at: datetime
    outcome: Literal["completed", "rolled_back"]
    reason: str = ""
    kind: Literal["ended"] = "ended"


Entry = (
    Accepted
    | Started
    | Requested
    | Resent
    | Succeeded
    | Failed
    | RetryScheduled
    | Skipped
    | StopAsked
    | Unwinding
    | Parked
    | ReplayOrdered
    | ResolvedByHand
    | DeadlinePassed
    | Ended
)
