"""The rule that keeps answers true: an attempt at or below the highest answered one never runs again.

Pure. A Rejected or Transient that was sent must stay true for ever, however late its command is delivered
again; so must the undoing of a step whose command still wanders about.
"""

from dataclasses import dataclass
from typing import Literal

from contracts.ids import Direction
from contracts.outcomes import Outcome, Rejected

UNDONE = Rejected(reason="the step was undone before this attempt arrived", error="Undone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is known of one step of one saga, in one direction."""

    state: Literal["open", "done", "undone"] = "open"
    attempt: int = 0
    answered: int = 0
    answer: Outcome | None = None
    owed: bool = False
    run: int = 0
    """Which beginning, of any attempt, was the latest."""


@dataclass(frozen=True, slots=True)
class Run:
    """This attempt may run."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """It was answered already: send that again."""

    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Owed:
    """The answer is owed and will be given by a later job; nothing is to be sent now."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A later attempt has begun: whatever this one would answer is of no interest any more."""


Ruling = Run | Repeat | Owed | Stale


def rule(effect: Effect, direction: Direction, attempt: int) -> Ruling:
    if direction == "do" and effect.state == "undone":
        return Repeat(attempt, UNDONE)
    if effect.answer is not None and (effect.state == "done" or attempt <= effect.answered):
        return Repeat(effect.answered, effect.answer)
    if attempt < effect.attempt:
        return Stale()
    if effect.owed and attempt == effect.attempt:
        return Owed()
    return Run()
