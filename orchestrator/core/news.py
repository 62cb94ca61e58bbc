"""What can happen to a saga. Times, random draws and identities come from outside."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from contracts.ids import Direction
from contracts.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A valid request arrived for the first time."""

    at: datetime
    request: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The starter gave a waiting saga its turn."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """A step answered. `draw` in [0, 1) is the jitter of the wait that may follow."""

    at: datetime
    step: str
    direction: Direction
    attempt: int
    outcome: Outcome
    draw: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The time that the saga waits for may have come."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The saga's deadline may have passed."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettered:
    """A command ended in the dead letters: it cannot be decoded, or kills whoever runs it."""

    at: datetime
    step: str
    direction: Direction
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An operator orders a parked step to be tried again."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """An operator settled a parked step by hand: it has happened, or it surely has not."""

    at: datetime
    verdict: Literal["done", "not_done"]
    by: str
    reason: str


News = Accept | Start | Replied | Due | Deadline | Cancel | DeadLettered | Replay | Resolve
