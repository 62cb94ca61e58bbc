"""What a saga is: a row of steps, each of one kind. Wrong definitions are refused when they are imported."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from orchestrator.core.definition_error import BadSaga
from orchestrator.core.durations import hours, minutes, seconds
from orchestrator.core.retry import Retry

NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")

PATIENT = Retry(attempts=20, first=seconds(1), ceiling=minutes(10), budget=hours(12))
"""Undos try for half a day before a human is asked: until then nobody else can put things right."""

RESEND = (seconds(30), minutes(2), minutes(10))
"""After an attempt's own time limit: how long an answer may be missing before the command is sent again."""

RESEND_DEFERRED = (minutes(10), hours(1), hours(6))
"""An answer that is given by a later flush is late by design; its command is repeated rarely."""


BRIEF = seconds(10)


class Kind(StrEnum):
    COMPENSATABLE = "compensatable"
    """Undone by itself when a later step fails."""
    PIVOT = "pivot"
    """After it succeeded there is no automatic way back."""
    RETRIABLE = "retriable"
    """Forward only; spent, it is parked."""
    BEST_EFFORT = "best_effort"
    """Never blocks and never fails the saga."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long one attempt may run: a base, and more for each lead that was asked for."""

    base: timedelta
    each: timedelta = timedelta(0)

    def of(self, request: dict[str, Any]) -> timedelta:
        return self.base + self.each * int(request.get("leads") or 0)


def per_lead(each: timedelta, *, base: timedelta) -> Timeout:
    return Timeout(base, each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    kind: Kind
    retry: Retry
    timeout: Timeout
    undo: str | None = None
    undo_retry: Retry = PATIENT
    answered_by: str | None = None
    """A deferred answer: the step only remembers that it owes one, and this later job gives it."""
    resend: tuple[timedelta, ...] = RESEND
    bundle: int = 200
    """Commands that may travel in one message; 1 where a vendor is called: a slow one must hold nobody."""

    def retry_of(self, direction: Literal["do", "undo"]) -> Retry:
        return self.retry if direction == "do" else self.undo_retry


def compensatable(  # noqa: PLR0913 - one row of a definition
    name: str,
    *,
    undo: str,
    retry: Retry,
    timeout: Timeout | timedelta,
    undo_retry: Retry = PATIENT,
    bundle: int = 200,
) -> Step:
    return Step(
        name=name,
        kind=Kind.COMPENSATABLE,
        undo=undo,
        retry=retry,
        timeout=_timeout(timeout),
        undo_retry=undo_retry,
        bundle=bundle,
    )


def pivot(name: str, *, retry: Retry, timeout: Timeout | timedelta) -> Step:
    return Step(name=name, kind=Kind.PIVOT, retry=retry, timeout=_timeout(timeout))


def retriable(
    name: str,
    *,
    retry: Retry = PATIENT,
    timeout: Timeout | timedelta = BRIEF,
    answered_by: str | None = None,
) -> Step:
    return Step(
        name=name,
        kind=Kind.RETRIABLE,
        retry=retry,
        timeout=_timeout(timeout),
        answered_by=answered_by,
        resend=RESEND_DEFERRED if answered_by else RESEND,
    )


def best_effort(name: str, *, retry: Retry, timeout: Timeout | timedelta) -> Step:
    return Step(name=name, kind=Kind.BEST_EFFORT, retry=retry, timeout=_timeout(timeout))


def _timeout(value: Timeout | timedelta) -> Timeout:
    return value if isinstance(value, Timeout) else Timeout(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A definition. `deadline` is how long after acceptance a saga may still begin its pivot.

    `completes_as` names the event that upstream hears when the saga completed.
    """

    name: str
    version: int
    begins_with: type
    deadline: timedelta
    steps: tuple[Step, ...]
    completes_as: str = "completed"

    def __post_init__(self) -> None:
        _check_names(self)
        _check_order(self)
        if self.version < 1:
            raise BadSaga(f"saga {self.name}: versions count from 1")
        if self.deadline <= timedelta(0):
            raise BadSaga(f"saga {self.name}: the deadline must lie in the future")

    def step(self, name: str) -> Step:
        """Raises KeyError for a name that is not of this saga."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def after(self, name: str | None) -> Step | None:
        """The step that follows `name`; the first one after None; None after the last."""
        if name is None:
            return self.steps[0]
        index = [step.name for step in self.steps].index(name)
        return self.steps[index + 1] if index + 1 < len(self.steps) else None

    def queues(self) -> tuple[str, ...]:
        """One work queue for each step and each undo, in order."""
        return tuple(name for step in self.steps for name in (step.name, step.undo) if name)


def scaled(saga: Saga, factor: float) -> Saga:
    """The same saga with all its waits (not the limits on running work) multiplied."""
    steps = tuple(
        replace(
            step,
            retry=step.retry.scaled(factor),
            undo_retry=step.undo_retry.scaled(factor),
            resend=tuple(wait * factor for wait in step.resend),
        )
        for step in saga.steps
    )
    return replace(saga, steps=steps, deadline=saga.deadline * factor)


def _check_names(saga: Saga) -> None:
    if not saga.steps:
        raise BadSaga(f"saga {saga.name}: a saga needs at least one step")
    names = [saga.name, *saga.queues()]
    for name in names:
        if not NAME.match(name):
            raise BadSaga(f"saga {saga.name}: {name!r} is not a name (a-z, 0-9, _; at most 40 characters)")
    if len(set(names[1:])) != len(names[1:]):
        raise BadSaga(f"saga {saga.name}: every step and every undo needs a name of its own")


def _check_order(saga: Saga) -> None:
    pivots = [step.name for step in saga.steps if step.kind is Kind.PIVOT]
    if len(pivots) > 1:
        raise BadSaga(f"saga {saga.name}: {' and '.join(pivots)} cannot both be the pivot")
    passed = False
    for step in saga.steps:
        passed = passed or step.kind is Kind.PIVOT
        _check_step(saga.name, step, passed=passed)


def _check_step(saga: str, step: Step, *, passed: bool) -> None:
    if (step.kind is Kind.COMPENSATABLE) != (step.undo is not None):
        raise BadSaga(f"saga {saga}: {step.name}: compensatable steps, and only they, have an undo")
    if step.kind is Kind.COMPENSATABLE and passed:
        raise BadSaga(f"saga {saga}: {step.name} comes after the pivot, so its undo could never run")
    if step.kind is Kind.RETRIABLE and not passed:
        raise BadSaga(f"saga {saga}: {step.name} is forward only, so it must come after the pivot")
    if step.timeout.base <= timedelta(0):
        raise BadSaga(f"saga {saga}: {step.name} needs time to run")
