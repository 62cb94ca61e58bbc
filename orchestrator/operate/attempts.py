"""What led to a dead letter: the attempts of its step, as the transaction log has them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator.core.log import Entry, Failed, ReplayOrdered, Requested, Resent, Succeeded
from orchestrator.operate.timeline import Unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a step. `asked_again`: how often its command was sent again for want of an answer.
    `answer`: 'done' or a verdict, empty while there is none. `replayed_by`: who ordered it."""

    attempt: int
    asked_at: datetime
    asked_again: int = 0
    answered_at: datetime | None = None
    answer: str = ""
    error: str = ""
    reason: str = ""
    replayed_by: str = ""


def attempts(entries: Iterable[Entry | Unread], step: str, direction: str, *, upto: int) -> list[Attempt]:
    """Those of one step, in order, `upto` and with this one."""
    found: dict[int, Attempt] = {}
    ordered_by = ""
    for entry in entries:
        match entry:
            case ReplayOrdered(by=by):
                ordered_by = by
            case Requested() if (entry.step, entry.direction) == (step, direction):
                made = Attempt(attempt=entry.attempt, asked_at=entry.at, replayed_by=ordered_by)
                found[entry.attempt], ordered_by = made, ""
            case Resent() | Succeeded() | Failed() if (entry.step, entry.direction) == (step, direction):
                if entry.attempt in found:
                    found[entry.attempt] = _after(found[entry.attempt], entry)
            case _:
                pass
    return [each for number, each in sorted(found.items()) if number <= upto]


def _after(attempt: Attempt, entry: Resent | Succeeded | Failed) -> Attempt:
    match entry:
        case Resent():
            return replace(attempt, asked_again=entry.times)
        case Succeeded():
            return replace(attempt, answered_at=entry.at, answer="done")
        case Failed():
            said = replace(attempt, answered_at=entry.at, answer=entry.verdict)
            return replace(said, error=entry.error, reason=entry.reason)


def causes(made: Sequence[Attempt]) -> str:
    """What they failed of, and how often."""
    counted = Counter(each.error or each.answer for each in made if each.answer not in {"", "done"})
    return ", ".join(f"{cause} {times} times" if times > 1 else cause for cause, times in counted.items())
