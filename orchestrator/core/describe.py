"""A saga definition for readers: as a text table, and as a Mermaid state diagram."""

from datetime import timedelta
from typing import assert_never

from orchestrator.core.definition import Kind, Saga, Step
from orchestrator.core.retry import Retry

HEADINGS = ("step", "kind", "undo", "retry", "timeout")


def table(saga: Saga) -> str:
    """One line a step, in columns; no line ends in a space."""
    rows = [HEADINGS, *(_row(step) for step in saga.steps)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def mermaid(saga: Saga) -> str:
    """The ways that a saga of this definition can go, without the fence of a code block."""
    lines = ["stateDiagram-v2", f"    [*] --> {saga.steps[0].name}"]
    for step in saga.steps:
        lines += [f"    {line}" for line in _ways(saga, step)]
    lines += ["    completed --> [*]", "    rolled_back --> [*]"]
    return "\n".join(lines) + "\n"


def duration(value: timedelta) -> str:
    """In the largest unit that it fills: 90 s are `1.5 min`."""
    total = value.total_seconds()
    for unit, length in (("h", 3600), ("min", 60), ("s", 1)):
        if total >= length:
            return f"{total / length:g} {unit}"
    return f"{total * 1000:g} ms"


def _row(step: Step) -> tuple[str, ...]:
    retry = _retry(step.retry)
    timeout = duration(step.timeout.base)
    if step.timeout.each:
        timeout += f" + {duration(step.timeout.each)} a lead"
    if step.answered_by:
        retry, timeout = f"answered by the {step.answered_by}", "-"
    return (step.name, step.kind.value, step.undo or "-", retry, timeout)


def _retry(retry: Retry) -> str:
    return (
        f"{retry.attempts} attempts, {duration(retry.first)} to {duration(retry.ceiling)}, "
        f"at most {duration(retry.budget)}"
    )


def _ways(saga: Saga, step: Step) -> list[str]:
    following = saga.after(step.name)
    onward = following.name if following else "completed"
    ways = [f"{step.name} --> {onward}: done"]
    match step.kind:
        case Kind.COMPENSATABLE:
            assert step.undo is not None
            ways += [
                f"{step.name} --> {step.undo}: failed or cancelled",
                f"{step.undo} --> {_undo_before(saga, step)}: undone",
                f"{step.undo} --> parked: spent",
            ]
        case Kind.PIVOT:
            ways += [
                f"{step.name} --> {_undo_before(saga, step)}: refused or cancelled",
                f"{step.name} --> parked: in doubt or spent",
            ]
        case Kind.RETRIABLE:
            ways += [f"{step.name} --> parked: refused or spent"]
        case Kind.BEST_EFFORT:
            ways[0] += " or skipped"
            if _can_turn_back(saga, step):
                ways += [f"{step.name} --> {_undo_before(saga, step)}: cancelled"]
        case unreachable:
            assert_never(unreachable)
    return ways


def _can_turn_back(saga: Saga, step: Step) -> bool:
    return not any(each.kind is Kind.PIVOT for each in saga.steps[: saga.steps.index(step)])


def _undo_before(saga: Saga, step: Step) -> str:
    """Where the way back goes on from here: the nearest earlier undo."""
    earlier = saga.steps[: saga.steps.index(step)]
    return next((each.undo for each in reversed(earlier) if each.undo), "rolled_back")
