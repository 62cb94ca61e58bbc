"""What a run of chaos makes of what happened."""

import json
import shlex
from dataclasses import replace

import pytest

from tests.chaos.__main__ import parsed, plan_of
from tests.chaos.havoc import Recovery
from tests.chaos.report import again
from tests.chaos.run import Plan, Reconciled, Result
from tests.kit.history.records import History
from tests.kit.history.violation import Violation

BLOW = Recovery(victim="rabbitmq", how="kill", at=1.0, ready=2.0, progress=None)
KEPT = Result(
    history=History(),
    violations=[],
    recoveries=[BLOW],
    deaths=["steps-1: out of memory"],
    unsettled={},
    unanswered=0,
    seconds=1.0,
    settled_after=1.0,
    repeated_events=0,
    reconciled=Reconciled(clean=True),
)
BROKEN = {
    "a rule is broken": replace(KEPT, violations=[Violation("sagas_end", "acme", None, "it never did")]),
    "somebody never recovered": replace(KEPT, recoveries=[BLOW, replace(BLOW, ready=None)]),
    "something is still under way": replace(KEPT, unsettled={"sagas": 1}),
    "an order was never answered": replace(KEPT, unanswered=1),
    "the books differ": replace(KEPT, reconciled=Reconciled(clean=False, differences=("acme: counted",))),
}


def test_a_run_whose_processes_came_back_and_whose_books_are_right_has_kept_its_promises() -> None:
    assert KEPT.kept


@pytest.mark.parametrize("what", BROKEN)
def test_anything_else_is_a_broken_promise(what: str) -> None:
    assert not BROKEN[what].kept


PAGE = {"tenant_id": "acme", "unread": None, "behind": False}


@pytest.mark.parametrize(
    ("said", "differences"),
    [
        ({"pages": [PAGE], "findings": []}, ()),
        (
            {"pages": [PAGE], "findings": [{"tenant_id": "acme", "kind": "held", "reason": "quota is held"}]},
            ("acme: held quota is held",),
        ),
        ({"pages": [PAGE | {"behind": True}], "findings": []}, ("acme: Stripe is behind",)),
        ({"pages": [PAGE | {"unread": "busy"}], "findings": []}, ("acme: busy",)),
        ({"error": {"code": 4, "faults": ["not reconciled in 60 s"]}}, ("not reconciled in 60 s",)),
    ],
)
def test_books_are_clean_when_all_could_be_compared_to_the_end_and_nothing_differs(
    said: dict[str, object], differences: tuple[str, ...]
) -> None:
    found = Reconciled.of(json.dumps(said))
    assert (differences, not differences) == (found.differences, found.clean)


def test_the_line_that_repeats_a_run_repeats_all_of_its_plan() -> None:
    plan = Plan(seed=7, load_seconds=54.0, settle_seconds=40.0, blow_every=4.5, window=120)
    _python, _m, module, *arguments = shlex.split(again(plan))
    assert ("tests.chaos", plan) == (module, plan_of(parsed(arguments)))
