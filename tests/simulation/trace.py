"""What happened, in order. Cheap to write, and made readable only when somebody asks."""

import hashlib
from dataclasses import dataclass, field

from orchestrator.core.log import Entry
from tests.simulation.clock import VirtualLoop


@dataclass(slots=True)
class Trace:
    loop: VirtualLoop
    lines: list[tuple[float, str, tuple[object, ...]]] = field(default_factory=list)

    def say(self, who: str, *what: object) -> None:
        """`what` must not change any more, and must look the same in every run."""
        self.lines.append((self.loop.time(), who, what))

    def digest(self) -> str:
        return hashlib.sha256(repr(self.lines).encode()).hexdigest()

    def story(self, last: int) -> str:
        said = [
            f"  {at:9.3f} s  {who:<14} {' '.join(map(str, what))}" for at, who, what in self.lines[-last:]
        ]
        left_out = len(self.lines) - len(said)
        return "\n".join([f"  ({left_out} lines before)", *said] if left_out else said)


def told(entry: Entry) -> str:
    """A log entry in a word or two."""
    step = getattr(entry, "step", None)
    if step is None:
        return entry.kind
    names = (getattr(entry, name, "") for name in ("direction", "step", "attempt", "error"))
    return f"{entry.kind}({' '.join(str(each) for each in names if each)})"
