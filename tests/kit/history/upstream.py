"""What upstream asked and heard, as records."""

from uuid import UUID

import orjson

from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from tests.kit.history.records import AskedRequest, HeardEvent


def heard_event(body: bytes) -> HeardEvent:
    said = orjson.loads(body)
    name = said["event"]
    leads = {"completed": said.get("delivered"), "refunded": said.get("leads")}.get(name)
    return HeardEvent(
        event_id=UUID(said["event_id"]),
        name=name,
        tenant_id=said["tenant_id"],
        request_id=said["request_id"],
        saga_id=UUID(said["saga_id"]) if said["saga_id"] else None,
        refund_id=said.get("refund_id"),
        leads=len(said["leads"]) if name == "leads_ready" else leads,
        part=said.get("part", 0),
        parts=said.get("parts", 0),
        total=said.get("total", 0),
    )


def asked_request(request: LeadRequested | RefundRequested | CancelRequested) -> AskedRequest:
    match request:
        case LeadRequested():
            return AskedRequest(tenant_id=request.tenant_id, kind="lead", id=request.request_id)
        case RefundRequested():
            return AskedRequest(tenant_id=request.tenant_id, kind="refund", id=request.refund_id)
        case CancelRequested():
            return AskedRequest(tenant_id=request.tenant_id, kind="cancel", id=request.request_id)
