"""When two requests are the same."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from contracts.requests import LeadRequested, RefundRequested, Request
from orchestrator.run.intake import content_hash
from orchestrator.run.items import Asked

REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
LEAD = LeadRequested(tenant_id="acme", request_id="r-1", criteria="makers of bicycles", leads=3)
REFUND = RefundRequested(tenant_id="acme", refund_id="f-1", request_id="r-1", reason="closed")


def hashed(body: dict[str, Any]) -> bytes:
    return content_hash(Asked(REQUEST.validate_json(json.dumps(body))))


def test_order_of_keys_unknown_fields_defaults_and_outer_space_make_no_other_request() -> None:
    body = LEAD.model_dump()
    same = dict(reversed(body.items())) | {"trace": "abc", "criteria": "  makers of bicycles\n"}
    del same["language"]
    assert hashed(body) == hashed(same)


def test_being_delivered_again_makes_no_other_request() -> None:
    assert content_hash(Asked(LEAD)) == content_hash(Asked(LEAD, redelivered=True))


@pytest.mark.parametrize(
    "change", [{"leads": 4}, {"criteria": "makers of boats"}, {"language": "nl"}, {"request_id": "r-2"}]
)
def test_other_content_makes_another_request(change: dict[str, Any]) -> None:
    assert hashed(LEAD.model_dump()) != hashed(LEAD.model_dump() | change)


@pytest.mark.parametrize("change", [{"leads": 1}, {"reason": "other"}, {"requested_by": "ann"}])
def test_other_content_makes_another_refund(change: dict[str, Any]) -> None:
    assert hashed(REFUND.model_dump()) != hashed(REFUND.model_dump() | change)
