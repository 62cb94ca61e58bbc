"""How much memory processes hold over time, and whether that is flat. Read from /proc: only Linux tells."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EVERY = 1.0
"""Seconds between two samples."""
SMOOTH = 10
"""Samples of which the median counts: a group that is just being handled is no growth."""
MOST_PERCENT = 20.0
MOST_MB = 40.0
"""Growth after the warm-up that still counts as flat: below both. Of a process of 80 MB the first is 16 MB:
room for what an allocator does not give back, and 160 bytes for each of 100,000 requests, less than one takes
that is held. The second lets no larger process hide more behind its size."""


def resident_mb(pid: int) -> float:
    """Of a running process. Raises OSError when it is gone."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """In MB. `highest`: the largest median of ten samples in the phase; `growth` is measured to that."""

    warm: float
    highest: float
    end: float
    peak: float
    growth: float
    percent: float
    flat: bool


@dataclass(slots=True)
class Watch:
    pids: Mapping[str, int]
    started: float = field(default_factory=time.monotonic)
    times: list[float] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    phases: dict[str, int] = field(default_factory=dict)
    """Name of each phase, and its first sample."""

    def begin(self, phase: str) -> None:
        self.phases[phase] = len(self.times)

    def sample(self) -> None:
        self.times.append(round(time.monotonic() - self.started, 1))
        for name, pid in self.pids.items():
            self.samples.setdefault(name, []).append(round(resident_mb(pid), 1))

    async def run(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(EVERY)

    def verdicts(self, warm_up: str) -> "Verdicts":
        """What the last samples of `warm_up` say is what growth is measured from."""
        return {
            phase: {name: self._verdict(name, warm_up, phase) for name in self.samples}
            for phase in self.phases
            if phase != warm_up
        }

    def _verdict(self, name: str, warm_up: str, phase: str) -> Verdict:
        warm = statistics.median(self._of(name, warm_up)[-SMOOTH:])
        values = self._of(name, phase)
        medians = [
            statistics.median(values[at : at + SMOOTH]) for at in range(max(1, len(values) - SMOOTH + 1))
        ]
        growth = max(medians) - warm
        percent = 100 * growth / warm
        return Verdict(
            warm=round(warm, 1),
            highest=round(max(medians), 1),
            end=round(medians[-1], 1),
            peak=max(values),
            growth=round(growth, 1),
            percent=round(percent, 1),
            flat=growth < MOST_MB and percent < MOST_PERCENT,
        )

    def _of(self, name: str, phase: str) -> list[float]:
        after = [at for at in self.phases.values() if at > self.phases[phase]]
        return self.samples[name][self.phases[phase] : min(after, default=None)]  # type: ignore[type-var]

    def as_json(self) -> dict[str, Any]:
        return {"seconds": self.times, "phases": self.phases, "mb": self.samples}


@asynccontextmanager
async def watching(pids: Mapping[str, int]) -> AsyncIterator[Watch]:
    watch = Watch(pids)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Verdicts = dict[str, dict[str, Verdict]]
"""By phase and process."""


def flat(verdicts: Verdicts) -> bool:
    return all(each.flat for of in verdicts.values() for each in of.values())


def plain(verdicts: Verdicts) -> dict[str, Any]:
    return {phase: {name: asdict(each) for name, each in of.items()} for phase, of in verdicts.items()}
