"""Whose turn it is."""

from uuid import UUID

import pytest

from orchestrator.core.state import State
from orchestrator.run.starter import choose, takes_place
from orchestrator.sagas.lead import LEAD
from orchestrator.store.port import SagaKey, Turns
from tests.kit.given import done, given, rejected


def key(tenant: str, number: int) -> SagaKey:
    return tenant, UUID(int=number)


A1, A2, A3, B1, C1 = key("a", 1), key("a", 2), key("a", 3), key("b", 1), key("c", 1)
ROOM = {"a": 10, "b": 10, "c": 10}


def turns(*waiting: SagaKey, free: int = 100, room: dict[str, int] | None = None) -> Turns:
    return Turns(free=free, room=ROOM if room is None else room, waiting=waiting)


def test_everybody_starts_when_there_is_room() -> None:
    assert {A1, A2, B1} == set(choose(turns(A1), [A2, B1]))


def test_newcomers_take_turns_by_tenant() -> None:
    assert [A1, B1, C1, A2, A3] == choose(turns(), [A1, A2, A3, B1, C1])


def test_who_waited_comes_before_newcomers() -> None:
    assert [A1, A2, B1] == choose(turns(A1, A2, free=3), [B1, C1])


def test_no_more_start_than_places_are_free() -> None:
    assert [A1, B1] == choose(turns(free=2), [A1, A2, B1, C1])
    assert [] == choose(turns(free=0), [A1])


def test_a_tenant_without_room_is_passed_over_and_holds_up_nobody() -> None:
    assert [B1, C1] == choose(turns(A1, A2, B1, free=2, room={"a": 0, "b": 1, "c": 1}), [C1])


def test_a_tenants_room_is_shared_by_those_that_waited_and_newcomers() -> None:
    assert [A1, B1] == choose(turns(A1, room={"a": 1, "b": 1}), [A2, A3, B1])


def test_a_tenant_of_whom_nothing_is_known_has_no_room() -> None:
    assert [] == choose(turns(room={}), [A1])


UNTIL_DELIVERED = [done("reserve_quota"), done("generate_leads"), done("record_usage", facts={"leads": 3})]


@pytest.mark.parametrize("steps", range(4))
def test_a_saga_takes_a_place_until_its_leads_are_delivered(steps: int) -> None:
    state = given(LEAD, *UNTIL_DELIVERED[:steps]).state
    assert (steps < 3) is takes_place(LEAD, state)


def test_a_saga_that_waits_turns_back_for_good_or_has_ended_takes_no_place() -> None:
    assert not takes_place(LEAD, State())
    assert not takes_place(LEAD, given(LEAD, rejected("reserve_quota")).state)


def test_a_saga_that_is_undoing_takes_a_place() -> None:
    state = given(LEAD, done("reserve_quota"), rejected("generate_leads")).state
    assert ("unwinding", True) == (state.status, takes_place(LEAD, state))


def test_a_delivered_saga_takes_no_place_in_any_later_step() -> None:
    state = given(LEAD, *UNTIL_DELIVERED, done("report_to_stripe")).state
    assert ("notify_discord", False) == (state.step, takes_place(LEAD, state))
