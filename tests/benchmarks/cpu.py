"""How much CPU time groups of processes have used. Read from /proc: only Linux tells."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.services.processes import Identity, family
from tests.benchmarks.rss import resident_mb

TICK = os.sysconf("SC_CLK_TCK")

Pids = Callable[[], Sequence[int]]
"""Asked anew each time: processes are started and killed while they are measured."""


def cpu_seconds(pid: int) -> float:
    """Of the process, of all that it started, and of those of them that have ended."""
    root = Identity.of(pid)
    return sum(_own(each.pid) for each in family(root)) if root is not None else 0.0


def _own(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields.split()[11:15])) / TICK


def machine_seconds() -> float:
    """All that the machine's processors have done, for anybody."""
    user, nice, system, _, _, irq, soft = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + soft) / TICK


def memory_mb(pids: Sequence[int]) -> float:
    return sum(resident_mb(pid) for pid in pids)


def pid_in(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


@dataclass(frozen=True, slots=True)
class Meter:
    """CPU time by group: who of the system (python, broker, database), the load itself, the whole machine."""

    groups: Mapping[str, Pids]

    def read(self) -> dict[str, float]:
        times = os.times()
        used = {name: sum(map(cpu_seconds, pids())) for name, pids in self.groups.items()}
        return {**used, "client": times.user + times.system, "machine": machine_seconds()}


def per_saga(before: Mapping[str, float], after: Mapping[str, float], sagas: int) -> dict[str, float]:
    """Milliseconds of CPU for one saga, by group. `all`: of the system, without load and strangers."""
    spent = {name: 1000 * (after[name] - before[name]) / max(sagas, 1) for name in after}
    ours = sum(value for name, value in spent.items() if name not in {"client", "machine"})
    return {f"CPU ms: {name}": value for name, value in {"all": ours, **spent}.items()}
