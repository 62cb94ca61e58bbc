"""Which event ends the wait for which request, and whether it is what was asked for."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts import events
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.core.news import Cancel
from orchestrator.operate.upstream import Request, answer_in
from orchestrator.run.intake import Intake, _cancel
from orchestrator.sagas.lead import LEAD as LEAD_SAGA
from orchestrator.store.port import Stored
from tests.kit.given import T0, given

LEAD = LeadRequested(tenant_id="acme", request_id="r-1", criteria="bicycles", leads=5)
CANCEL = CancelRequested(tenant_id="acme", request_id="r-1", reason="enough")
REFUND = RefundRequested(tenant_id="acme", request_id="r-1", refund_id="b-1", reason="bounced")


def told(kind: type[Any], *, refund: str | None = None, **more: Any) -> Any:
    common = {
        "event_id": UUID(int=1),
        "tenant_id": "acme",
        "request_id": "r-1",
        "saga_id": UUID(int=2),
        "at": T0,
    }
    return kind(**{**common, "saga": "refund" if refund else "lead", "refund_id": refund, **more})


COMPLETED = told(events.Completed, requested=5, delivered=4)
FAILED = told(events.Failed, reason="no")


@pytest.mark.parametrize(
    ("request_", "event", "outcome"),
    [
        (LEAD, COMPLETED, ("completed", True)),
        (LEAD, FAILED, ("failed", False)),
        (LEAD, told(events.Parked, step="record_usage", reason="no"), ("parked", False)),
        (LEAD, told(events.Refused, reason="no"), ("refused", False)),
        (LEAD, told(events.Accepted), None),
        (LEAD, told(events.Refunded, refund="b-1", leads=1), None),
        (LEAD, COMPLETED.model_copy(update={"request_id": "r-2"}), None),
        (LEAD, COMPLETED.model_copy(update={"tenant_id": "blue"}), None),
        (CANCEL, FAILED, ("failed", True)),
        (CANCEL, COMPLETED, ("completed", False)),
        (REFUND, told(events.Refunded, refund="b-1", leads=5), ("refunded", True)),
        (REFUND, told(events.Refunded, refund="b-2", leads=5), None),
        (REFUND, told(events.Failed, refund="b-1", reason="no"), ("failed", False)),
        (REFUND, told(events.Refused, refund="b-1", reason="no"), ("refused", False)),
        (REFUND, told(events.Accepted, refund="b-1"), None),
        (REFUND, FAILED, ("failed", True)),
        # Delivered leads may be announced, or announced again, while their refund is under way.
        (REFUND, COMPLETED, None),
    ],
)
def test_an_event_ends_the_wait_only_for_its_own_request(
    request_: Request, event: events.Event, outcome: tuple[str, bool] | None
) -> None:
    heard = answer_in(event.model_dump_json().encode(), request_)
    assert outcome == (None if heard is None else (heard.outcome, heard.met))


def test_the_log_names_who_ordered_a_cancel_and_upstream_when_nobody_is_named() -> None:
    lead = Stored(
        key=("acme", UUID(int=2)),
        saga="lead",
        version=1,
        request_id="r-1",
        entries=3,
        state=given(LEAD_SAGA).state,
    )
    intake = Intake()
    for request in (CANCEL, CANCEL.model_copy(update={"requested_by": "ann"})):
        _cancel(intake, request, lead, T0)
    expected = [(lead.key, Cancel(at=T0, by=by, reason="enough")) for by in ("upstream", "ann")]
    assert expected == intake.news


@pytest.mark.parametrize("named", ["x" * 201, "null\x00"])
def test_who_cancels_has_a_name_that_can_be_stored(named: str) -> None:
    with pytest.raises(ValidationError, match="requested_by"):
        CancelRequested(tenant_id="acme", request_id="r-1", reason="enough", requested_by=named)


def test_what_is_no_event_is_passed_over() -> None:
    assert None is answer_in(b'{"event": "something newer"}', LEAD)
