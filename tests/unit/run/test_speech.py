"""What a saga tells the world."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from contracts.events import Event
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry
from orchestrator.core.news import Accept
from orchestrator.core.state import State
from orchestrator.run import speech
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.refund import REFUND
from orchestrator.store.port import EventOut, Stored
from tests.kit.given import T0, Story, after, done, new, rejected, start, unknown

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
KEY = ("acme", UUID(int=7))
LEADS = LeadRequested(tenant_id="acme", request_id="r-1", criteria="makers of bicycles", leads=3)
BACK = RefundRequested(tenant_id="acme", refund_id="f-1", request_id="r-1", reason="closed")
DELIVERED = [done("reserve_quota"), done("generate_leads"), done("record_usage", facts={"leads": 2})]


def stored(saga: Saga, state: State, entries: int, request_id: str = "r-1") -> Stored:
    return Stored(key=KEY, saga=saga.name, version=1, request_id=request_id, entries=entries, state=state)


def begun(saga: Saga, request: LeadRequested | RefundRequested) -> Story:
    return new(saga).when(Accept(at=T0, request=request.model_dump(mode="json")))


def said(story: Story, request_id: str = "r-1") -> list[EventOut]:
    """All events of a story, from its beginning."""
    before = stored(story.saga, State(), 0, request_id)
    return speech.events_of(story.saga, before, story.log, story.state)


def read(events: Sequence[EventOut]) -> list[Any]:
    return [EVENT.validate_json(event.body) for event in events]


def lead_story(*news: Any) -> Story:
    return begun(LEAD, LEADS).when(start(), *news)


def test_a_delivered_request_was_accepted_and_completed_and_says_how_many_leads_it_brought() -> None:
    story = lead_story(*DELIVERED, done("report_to_stripe"), done("notify_discord"))
    accepted, completed = read(said(story))
    assert ("accepted", "completed") == (accepted.event, completed.event)
    assert (3, 2) == (completed.requested, completed.delivered)
    assert (KEY, "r-1", None) == (
        (completed.tenant_id, completed.saga_id),
        completed.request_id,
        completed.refund_id,
    )


def test_a_failed_request_says_why() -> None:
    *_, failed = read(said(lead_story(rejected("reserve_quota"))))
    assert ("failed", "not possible") == (failed.event, failed.reason)


def test_a_parked_request_says_where_and_keeps_the_cause_to_our_people() -> None:
    *_, parked = read(said(lead_story(*DELIVERED, rejected("report_to_stripe"))))
    assert ("parked", "report_to_stripe") == (parked.event, parked.step)
    assert "one of our people" in parked.reason
    assert "not possible" not in parked.reason


def test_a_refund_speaks_of_the_request_and_names_itself() -> None:
    story = begun(REFUND, BACK).when(
        start(),
        done("refund_usage", facts={"leads": 2}),
        done("refund_at_stripe"),
        done("notify_discord"),
    )
    *_, refunded = read(said(story, "f-1"))
    assert ("refunded", 2) == (refunded.event, refunded.leads)
    assert ("r-1", "f-1") == (refunded.request_id, refunded.refund_id)


def test_what_happens_between_is_not_told() -> None:
    assert ["accepted"] == [event.event for event in said(lead_story(*DELIVERED, unknown("nothing")))]


STORIES = {
    "accepted": lead_story(),
    "completed": lead_story(*DELIVERED, done("report_to_stripe"), done("notify_discord")),
    "failed": lead_story(rejected("reserve_quota")),
}


@pytest.mark.parametrize("name", STORIES)
def test_an_event_keeps_its_id_when_it_is_said_again(name: str) -> None:
    story = STORIES[name]
    first = said(story)[-1]
    whole = stored(LEAD, story.state, len(story.log))
    (again,) = speech.status_again(LEAD, whole, after(3600))
    assert (name, first.event_id) == (again.event, again.event_id)


def test_an_event_keeps_its_id_however_its_log_was_cut_into_groups() -> None:
    story = STORIES["failed"]
    entries: Sequence[Entry] = story.log
    middle = stored(LEAD, story.state, 2)
    cut = speech.events_of(LEAD, middle, entries[2:], story.state)
    assert said(story)[-1].event_id == cut[-1].event_id


def test_no_two_events_of_a_saga_share_an_id() -> None:
    events = said(STORIES["completed"])
    assert len(events) == len({event.event_id for event in events})


def test_a_refusal_keeps_its_id_and_another_one_has_another() -> None:
    first = speech.refusal(LEADS, "unknown tenant", T0)
    assert first.event_id == speech.refusal(LEADS, "unknown tenant", after(9)).event_id
    assert first.event_id != speech.refusal(LEADS, "the tenant is suspended", T0).event_id
    other = LEADS.model_copy(update={"leads": 4})
    assert first.event_id != speech.refusal(other, "unknown tenant", T0).event_id


def test_a_refusal_says_of_what() -> None:
    cancel = CancelRequested(tenant_id="acme", request_id="r-1", reason="no need")
    refused = read([speech.refusal(request, "no", T0) for request in (LEADS, cancel, BACK)])
    assert [("lead", None), ("lead", None), ("refund", "f-1")] == [
        (event.saga, event.refund_id) for event in refused
    ]


def test_the_command_asks_for_the_attempt_that_the_saga_waits_for() -> None:
    queue, command = speech.command_for(LEAD, KEY, "r-1", lead_story(done("reserve_quota")).state)
    assert ("generate_leads", "generate_leads", "do", 1) == (
        queue,
        command.step,
        command.direction,
        command.attempt,
    )
    assert (KEY, {"reserve_quota": {}}) == ((command.tenant_id, command.saga_id), command.facts)


def test_the_command_to_undo_goes_to_the_queue_of_the_undo() -> None:
    state = lead_story(done("reserve_quota"), rejected("generate_leads")).state
    queue, command = speech.command_for(LEAD, KEY, "r-1", state)
    assert ("release_quota", "reserve_quota", "undo") == (queue, command.step, command.direction)


def test_only_what_was_delivered_can_be_delivered_again() -> None:
    before = lead_story(*DELIVERED[:2])
    assert None is speech.repeat_delivery(LEAD, stored(LEAD, before.state, len(before.log)))
    story = lead_story(*DELIVERED)
    again = speech.repeat_delivery(LEAD, stored(LEAD, story.state, len(story.log)))
    assert again is not None
    assert ("record_usage", "record_usage", 1) == (again[0], again[1].step, again[1].attempt)
