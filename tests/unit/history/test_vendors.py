"""Which notices the vendor's messages stand for."""

from typing import Any

from tests.kit.history.postgres import NoticeText
from tests.kit.history.vendors import VendorRecord, notices_said
from tests.unit.history.samples import DELIVERED, FAILED

TEXT = ("w1", "3 leads delivered", "Request r-1")


def said(times: int, *states: Any) -> list[tuple[str, int | None]]:
    """States and counts of notices with the same text, of which the vendor has so many."""
    notices = [
        NoticeText(key=key, event="failed", state=state, title=TEXT[1], body=TEXT[2])
        for key, state in zip((DELIVERED, FAILED), states, strict=False)
    ]
    record = VendorRecord(meters=[], meter_events=[], model_calls=0, said={TEXT: times})
    return [(notice.state, notice.said) for notice in notices_said(notices, record, {"acme": "w1"})]


def test_notices_with_the_same_text_are_told_apart_by_what_they_count_as() -> None:
    assert [("sent", 1), ("sent", 1)] == said(2, "sent", "sent")
    assert [("sent", 1), ("unknown", 0)] == said(1, "unknown", "sent")
    assert [("sent", 1), ("unknown", 1)] == said(2, "unknown", "sent")
    assert [("sent", 1), ("waiting", 0)] == said(1, "waiting", "sent")


def test_what_was_said_too_often_stays_too_much() -> None:
    assert [("sent", 2)] == said(2, "sent")
    assert [("sent", 1), ("given_up", 1)] == said(2, "given_up", "sent")


def test_a_tenant_without_a_webhook_was_told_nothing() -> None:
    notice = NoticeText(
        key=("other", DELIVERED[1]), event="failed", state="sent", title=TEXT[1], body=TEXT[2]
    )
    record = VendorRecord(meters=[], meter_events=[], model_calls=0, said={TEXT: 1})
    assert [0] == [each.said for each in notices_said([notice], record, {"acme": "w1"})]
