"""What a benchmark is: prepared once, then measured round by round, in turn with all others."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.benchmarks.stage import Stage

Metrics = dict[str, float]
"""By name, which ends with the unit."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a part's table, as one round measured it."""

    name: str
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long and how large. Times in seconds."""

    warm: float
    window: float
    levels: tuple[int, ...]
    """Sagas in flight, of which the best is looked for."""
    tenants: tuple[int, ...]
    rates: tuple[int, ...]
    open_loop: float
    finished: tuple[int, ...]
    recover: int
    flush_tenants: int
    lead_in_flight: int
    model_seconds: float
    lead_processes: tuple[int, ...]


FULL = Size(
    warm=4,
    window=12,
    levels=(50, 200, 500, 1000, 2000),
    tenants=(1, 100, 1000),
    rates=(50, 500),
    open_loop=12,
    finished=(0, 100_000, 1_000_000),
    recover=10_000,
    flush_tenants=10_000,
    lead_in_flight=1000,
    model_seconds=5,
    lead_processes=(1, 2, 4),
)
QUICK = Size(
    warm=1,
    window=3,
    levels=(200,),
    tenants=(1, 100),
    rates=(50,),
    open_loop=4,
    finished=(0, 5_000),
    recover=500,
    flush_tenants=200,
    lead_in_flight=60,
    model_seconds=1,
    lead_processes=(1, 2),
)

Measure = Callable[[], Awaitable[list[Case]]]
"""One round."""

Part = Callable[[Stage, Size], AbstractAsyncContextManager[Measure]]


def tenants_of(count: int) -> list[str]:
    return [f"t-{number:05}" for number in range(count)]
