"""When a saga has to be looked at again at the latest."""

from datetime import datetime

from orchestrator.core.state import State, Status


def needed_at(state: State) -> datetime | None:
    """Its due time or its deadline, whichever is first; None if it waits for no time at all."""
    return earlier(state.due_at, state.deadline_at)


def next_wake(*, old: datetime | None, was: Status, state: State) -> datetime | None:
    """The wake time may be early but never late: leaving an early one alone keeps the usual update of a saga
    away from the index. With the status indexed columns change anyway, so then it is exact."""
    needed = needed_at(state)
    if needed is None or was != state.status:
        return needed
    return earlier(old, needed)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((time for time in (one, other) if time is not None), default=None)
