"""How long to leave an outside world alone. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubles from `first` to `ceiling` seconds. There is no last attempt: who waits decides when it ends."""

    first: float
    ceiling: float

    def delay(self, attempts: int, *, draw: float, retry_after: float | None = None) -> float:
        """Seconds to wait after the `attempts`-th failure. `draw` in [0, 1) comes from outside and spreads
        the upper half of the delay. What the outside world asked for is never undercut."""
        bound = min(self.ceiling, self.first * 2.0 ** min(max(attempts, 1) - 1, 64))
        return max(bound * (0.5 + draw / 2), retry_after or 0.0)

    def scaled(self, factor: float) -> "Backoff":
        return Backoff(first=self.first * factor, ceiling=self.ceiling * factor)
