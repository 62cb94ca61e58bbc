"""A saga definition that contradicts itself is refused when it is imported."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.requests import LeadRequested
from orchestrator.core.definition import (
    PATIENT,
    Kind,
    Saga,
    Step,
    Timeout,
    compensatable,
    per_lead,
    retriable,
    scaled,
)
from orchestrator.core.definition_error import BadSaga
from orchestrator.core.durations import hours, minutes, seconds
from orchestrator.sagas import CURRENT, sagas
from orchestrator.sagas.lead import LEAD
from tests.kit.small import TWICE, A, B, E, P, R, saga_of

FIVE = timedelta(seconds=5)
UNDOLESS = Step(name="a", kind=Kind.COMPENSATABLE, retry=TWICE, timeout=Timeout(FIVE))


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ((), "needs at least one step"),
        ((replace(A, name="Not-A-Name"),), "'Not-A-Name' is not a name"),
        ((replace(A, undo="x" * 41),), "is not a name"),
        ((A, replace(B, name="a")), "a name of its own"),
        ((A, replace(B, undo="a")), "a name of its own"),
        ((P, replace(P, name="q")), "p and q cannot both be the pivot"),
        ((UNDOLESS,), "compensatable steps, and only they, have an undo"),
        ((replace(P, undo="undo_p"),), "compensatable steps, and only they, have an undo"),
        ((P, A), "a comes after the pivot"),
        ((A, R), "r is forward only"),
        ((replace(P, timeout=Timeout(timedelta(0))),), "p needs time to run"),
    ],
)
def test_a_contradiction_is_refused(steps: tuple[Step, ...], complaint: str) -> None:
    with pytest.raises(BadSaga, match=complaint):
        saga_of(*steps)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": "Lead"}, "is not a name"),
        ({"version": 0}, "versions count from 1"),
        ({"deadline": timedelta(0)}, "must lie in the future"),
    ],
)
def test_a_saga_needs_a_name_a_version_and_a_deadline(wrong: dict[str, Any], complaint: str) -> None:
    fields: dict[str, Any] = {"name": "lead", "version": 1, "deadline": hours(1), **wrong}
    with pytest.raises(BadSaga, match=complaint):
        Saga(begins_with=LeadRequested, steps=(P,), **fields)


def test_forgetting_the_undo_does_not_even_call() -> None:
    forgetful: Any = compensatable
    with pytest.raises(TypeError, match="undo"):
        forgetful("a", retry=TWICE, timeout=FIVE)


def test_steps_are_found_by_name_and_by_what_they_follow() -> None:
    saga = saga_of(A, P, R)
    assert P == saga.step("p")
    assert [A, P, R, None] == [saga.after(name) for name in (None, "a", "p", "r")]
    with pytest.raises(KeyError):
        saga.step("undo_a")


def test_every_step_and_every_undo_has_a_queue() -> None:
    assert ("a", "undo_a", "b", "undo_b", "p", "e") == saga_of(A, B, P, E).queues()


def test_an_undo_has_a_patience_of_its_own() -> None:
    step = compensatable("a", undo="undo_a", retry=TWICE, timeout=FIVE)
    assert (TWICE, PATIENT) == (step.retry_of("do"), step.retry_of("undo"))


@pytest.mark.parametrize(
    ("request_", "limit"), [({"leads": 10}, 80), ({}, 60), ({"leads": None}, 60)], ids=["10", "none", "null"]
)
def test_a_limit_per_lead_grows_with_what_was_asked_for(request_: dict[str, Any], limit: int) -> None:
    assert seconds(limit) == per_lead(seconds(2), base=minutes(1)).of(request_)


def test_a_scaled_saga_waits_less_but_leaves_running_work_its_time() -> None:
    saga = scaled(saga_of(A, P, retriable("s", timeout=FIVE, answered_by="flush")), 0.1)
    assert hours(2.4) == saga.deadline
    assert TWICE.scaled(0.1) == saga.step("a").undo_retry == saga.step("p").retry
    assert (minutes(1), minutes(6), minutes(36)) == saga.step("s").resend
    assert Timeout(FIVE) == saga.step("s").timeout


def test_the_registered_sagas_are_found_by_name_and_version() -> None:
    assert all(sagas()[saga.name, saga.version] == saga for saga in CURRENT)
    assert scaled(LEAD, 0.01) == sagas(0.01)["lead", 1]


def test_whatever_comes_before_the_pivot_of_the_lead_saga_can_be_undone() -> None:
    assert ["compensatable", "compensatable", "pivot", "retriable", "best_effort"] == [
        step.kind for step in LEAD.steps
    ]
