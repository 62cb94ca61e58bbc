"""When to try again: a value that returns a delay, or nothing."""

from dataclasses import dataclass, replace
from datetime import timedelta

from orchestrator.core.definition_error import BadSaga

LONGEST_WAIT = timedelta(days=7)
"""Whoever asks us to wait for longer is mistaken, and no calendar must overflow for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Exponential back-off with full jitter.

    `attempts`: tries in a row without progress, the first one included.
    `budget`: once this long has passed since the step's first attempt, the next attempt is its last.
    """

    attempts: int
    first: timedelta
    ceiling: timedelta
    budget: timedelta
    factor: float = 2.0

    def __post_init__(self) -> None:
        zero = timedelta(0)
        if self.attempts < 1:
            raise BadSaga("a retry policy needs at least one attempt")
        if not zero < self.first <= self.ceiling:
            raise BadSaga("a retry policy needs 0 < first <= ceiling")
        if self.factor < 1:
            raise BadSaga("a retry policy's factor must be at least 1, or delays would shrink")
        if self.budget < self.ceiling:
            raise BadSaga("a retry policy's budget must be at least its ceiling")

    def is_last(self, *, tries: int, elapsed: timedelta) -> bool:
        """Whether the attempt that starts now, the `tries`-th in a row, is the last one. It is decided when
        the attempt starts, so that the step can know and settle for what it has."""
        return tries >= self.attempts or elapsed >= self.budget

    def delay_after(self, *, tries: int, draw: float, retry_after: timedelta | None = None) -> timedelta:
        """How long to wait after the `tries`-th attempt in a row failed.

        `draw` in [0, 1) comes from outside: full jitter spreads the delay between nothing and its
        exponential bound. What the outside world asked for is never undercut.
        """
        growth = self.factor ** min(tries - 1, 64)
        bound = min(self.ceiling, self.first * min(growth, self.ceiling / self.first))
        return max(bound * draw, retry_after or timedelta(0))

    def scaled(self, factor: float) -> "Retry":
        return replace(
            self, first=self.first * factor, ceiling=self.ceiling * factor, budget=self.budget * factor
        )
