"""What really happened, as opposed to what the log believes: the hidden side of every step.

Each delivery of a command can go several ways; `deliver` lists them all. The rows that the step side keeps
are judged by the real `rule`, and an answer is committed with its effect, as the step runtime does it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from contracts.ids import Direction
from contracts.outcomes import Done, Outcome, Rejected, Transient, Unknown
from steps.runtime.ruling import Effect, Owed, Repeat, Ruling, Run, Stale

Nature = Literal["ours", "outside", "all_outside", "deferred", "forgetful"]
"""ours: effect and answer are one transaction. outside: a vendor is called, which may or may not have acted
when it does not answer; the undo is ours. all_outside: the undo calls a vendor, too. deferred: the command is
only noted, and a later flush acts and answers. forgetful: outside, and wrong: its answer to an attempt that
was begun before, by a process that died, claims to know what that one did."""

Name = Literal["done", "rejected", "transient", "progress", "unknown"]

OUTCOMES: dict[Name, Outcome] = {
    "done": Done(),
    "rejected": Rejected(reason="no"),
    "transient": Transient(reason="busy"),
    "progress": Transient(reason="half way", progress=True),
    "unknown": Unknown(reason="no answer"),
}

Rule = Callable[[Effect, Direction, int], Ruling]
Settle = Callable[["Side", Direction], "Side"]


class Row(NamedTuple):
    """An `Effect` that can be a key of a dict."""

    state: Literal["open", "done", "undone"] = "open"
    attempt: int = 0
    answered: int = 0
    answer: Name | None = None
    owed: bool = False


NOTHING = Row()


@cache
def effect(row: Row) -> Effect:
    answer = None if row.answer is None else OUTCOMES[row.answer]
    return Effect(state=row.state, attempt=row.attempt, answered=row.answered, answer=answer, owed=row.owed)


@cache
def answered(row: Row, attempt: int, name: Name) -> Row:
    state = "done" if name == "done" else row.state
    return Row(state=state, attempt=attempt, answered=attempt, answer=name)


@dataclass(frozen=True, slots=True)
class Side:
    """One step: the rows it keeps, and how many times its effect is really there."""

    do: Row = NOTHING
    undo: Row = NOTHING
    there: int = 0
    buried: tuple[int, int] = (0, 0)
    """The highest attempts (do, undo) whose command ended in the dead letters."""

    def row(self, direction: Direction) -> Row:
        return self.do if direction == "do" else self.undo

    def bury(self, direction: Direction, attempt: int) -> "Side":
        do, undo = self.buried
        marks = (max(do, attempt), undo) if direction == "do" else (do, max(undo, attempt))
        return replace(self, buried=marks)

    def accounted(self, direction: Direction) -> int:
        """The highest attempt that was answered or buried: the machine may ask for one more, no further."""
        return max(self.row(direction).answered, self.buried[direction == "undo"])


@dataclass(frozen=True, slots=True)
class Turn:
    """One way in which a delivery can go. `taken` is false when the consumer died before it acknowledged."""

    how: str
    side: Side
    reply: tuple[int, Name] | None = None
    taken: bool = True


def settled(side: Side, direction: Direction) -> Side:
    """What the operators' tool leaves behind when a step is settled by hand: unless it has happened, or is
    said to be taken back, no copy of its command may run any more."""
    if direction == "do" and side.do.state == "done":
        return side
    return replace(side, do=side.do._replace(state="undone", owed=False))


def deliver(side: Side, nature: Nature, direction: Direction, attempt: int, rule: Rule) -> Iterator[Turn]:
    """Every way in which this delivery can go."""
    match rule(effect(side.row(direction)), direction, attempt):
        case Repeat(attempt=known, outcome=outcome):
            yield Turn("repeats its answer", side, (known, _name(outcome)))
        case Owed() | Stale():
            yield Turn("says nothing", side)
        case Run() if direction == "undo":
            yield from _undo(side, nature, attempt)
        case Run() if nature == "deferred":
            owed = side.do._replace(attempt=attempt, owed=True)
            yield Turn("notes that it owes an answer", replace(side, do=owed))
        case Run():
            yield from _do(side, nature, attempt)


def flush(side: Side) -> Iterator[Turn]:
    """A deferred answer is given: what was owed has happened, or was refused for good."""
    if side.do.owed:
        attempt = side.do.attempt
        done = replace(side, do=answered(side.do, attempt, "done"), there=1)
        yield Turn("is flushed", done, (attempt, "done"))
        refused = replace(side, do=answered(side.do, attempt, "rejected"))
        yield Turn("is refused by the flush", refused, (attempt, "rejected"))


def _do(side: Side, nature: Nature, attempt: int) -> Iterator[Turn]:
    def answer(name: Name, there: int) -> Turn:
        how = f"answers {name}" + (" and it happened" if there > side.there else "")
        return Turn(how, replace(side, do=answered(side.do, attempt, name), there=there), (attempt, name))

    # An outside effect is keyed: asking twice leaves one. Ours must be kept from running twice by the rule.
    happened = side.there + 1 if nature == "ours" else 1
    yield answer("done", happened)
    begun_before = nature in {"outside", "all_outside"} and side.do.attempt == attempt
    if not begun_before:  # else nobody can say any more that this attempt had no effect
        yield answer("rejected", side.there)
        yield answer("transient", side.there)
    if nature == "ours":
        return  # a crash rolls everything back: the same as a delivery that has not happened yet
    yield answer("unknown", side.there)
    yield answer("unknown", happened)
    if attempt == 1:
        yield answer("progress", happened)
    begun = side.do._replace(attempt=attempt)
    yield Turn("begins and dies", replace(side, do=begun), taken=False)
    yield Turn("acts and dies", replace(side, do=begun, there=happened), taken=False)


def _undo(side: Side, nature: Nature, attempt: int) -> Iterator[Turn]:
    def answer(name: Name, *, gone: bool) -> Turn:
        undo = answered(side.undo, attempt, name)
        do = side.do._replace(state="undone") if name == "done" else side.do
        return Turn(
            f"answers {name}" + (" and undid it" if gone else ""),
            replace(side, do=do, undo=undo, there=0 if gone else side.there),
            (attempt, name),
        )

    yield answer("done", gone=True)
    yield answer("rejected", gone=False)
    yield answer("transient", gone=False)
    if nature == "all_outside":
        yield answer("unknown", gone=False)
        yield answer("unknown", gone=True)


def _name(outcome: Outcome) -> Name:
    return "progress" if isinstance(outcome, Transient) and outcome.progress else outcome.kind
