"""The checker sees what it is there to see: every rule is broken by some history, and none by a good one."""

from dataclasses import fields, replace
from typing import Any

import pytest

from contracts.outcomes import Rejected, Unknown
from orchestrator.core.news import Cancel, Due, Resolve
from orchestrator.sagas.lead import LEAD
from tests.kit.history.check import RULES, check
from tests.kit.history.notices import exceptions
from tests.kit.history.records import EffectRow, History, IntentRow
from tests.kit.history.story import story
from tests.unit.history.broken_books import BILLING, EFFECTS, QUOTA, SPEECH
from tests.unit.history.broken_logs import BREAKS, Break
from tests.unit.history.samples import (
    DELIVERED,
    FAILED,
    FORWARD,
    T0,
    answer,
    broken,
    done,
    good,
    named,
    row,
    with_saga,
)

ALL = {**BREAKS, **EFFECTS, **QUOTA, **BILLING, **SPEECH}


def test_a_good_history_breaks_no_rule() -> None:
    assert [] == check(good())


@pytest.mark.parametrize(("rule", "break_it"), ALL.values(), ids=ALL.keys())
def test_what_is_wrong_is_seen(rule: str, break_it: Break) -> None:
    assert rule in broken(break_it(good()))


def test_every_rule_is_shown_to_see() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, _ in ALL.values()}


@pytest.mark.parametrize("name", [each.name for each in fields(History) if each.default is None])
def test_what_a_world_does_not_record_breaks_no_rule(name: str) -> None:
    # Without a ledger nothing can have been delivered, so a world that has one of the two has both.
    together = {"ledger": ("carriers", "intents", "heard"), "carriers": ("intents",)}
    missing: dict[str, Any] = dict.fromkeys((name, *together.get(name, ())))
    assert set() == broken(replace(good(), **missing))


def test_while_work_is_under_way_only_what_must_hold_always_is_asked_for() -> None:
    history = with_saga(good(), row(FAILED, LEAD, {"request_id": "r-2", "leads": 2}))
    history = replace(history, heard=None, effects=None, holds=None)
    assert {"sagas_end"} == broken(history)
    assert set() == broken(replace(history, settled=False))


def test_a_send_that_is_missing_counts_for_nothing_once_another_carries_its_rows() -> None:
    history = good()
    gone = IntentRow(
        tenant_id="acme",
        intent_id=named("gone"),
        identifier="i-0",
        customer="cus_of_before",
        value=2,
        state="missing",
    )
    assert [] == check(replace(history, intents=[*(history.intents or ()), gone]))


def test_a_pivot_that_an_operator_declared_not_done_needs_no_undo() -> None:
    doubt = answer("record_usage", Unknown(reason="lost"))
    again = Due(at=T0.replace(year=2028))
    refused = answer("record_usage", Rejected(reason="no"), attempt=2)
    settled = Resolve(at=T0, verdict="not_done", by="ann", reason="looked it up")
    back = (done("generate_leads", "undo"), done("reserve_quota", "undo"))
    news = (*FORWARD[:2], doubt, again, refused, settled, *back)
    saga = row(FAILED, LEAD, {"request_id": "r-2", "leads": 2}, *news)
    effect = EffectRow(
        key=FAILED,
        step="record_usage",
        direction="do",
        state="open",
        attempt=2,
        answered=2,
        answer=Rejected(reason="no"),
    )
    assert "rolled_back" == saga.status
    history = replace(with_saga(good(), saga), effects=[effect], heard=None)
    assert "rolled_back_sagas_leave_nothing" not in broken(history)


def test_cancels_and_deadlines_are_decisions_too() -> None:
    cancel = Cancel(at=T0, by="upstream", reason="a mistake")
    back = done("reserve_quota", "undo")
    saga = row(FAILED, LEAD, {"request_id": "r-2", "leads": 2}, cancel, back)
    assert "rolled_back" == saga.status
    assert "entries_are_decisions" not in broken(with_saga(good(), saga))


def test_exceptions_to_once_are_counted() -> None:
    counted = exceptions(good())
    assert (1, 1) == (counted.model_calls_unknown, counted.notices_unknown)


def test_a_story_tells_the_log_and_what_others_have_on_record() -> None:
    told = "\n".join(story(good(), DELIVERED))
    for words in ("lead r-1: completed", "do record_usage", "usage of 3, carried by i-1 (confirmed, 2)"):
        assert words in told
    assert "upstream heard leads_ready" in told
