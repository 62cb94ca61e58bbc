"""Requests as upstream services make them, each with an id of its own."""

import secrets
from typing import Any

from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from tests.kit.system import RunningSystem, Tenant


def lead_request(tenant: Tenant, leads: int = 3, criteria: str = "", **more: Any) -> LeadRequested:
    """The criteria name the request, so that a fault of the model can be ordered for it alone."""
    request_id = f"r-{secrets.token_hex(4)}"
    return LeadRequested(
        tenant_id=tenant.tenant_id,
        request_id=request_id,
        criteria=criteria or f"bicycle makers in Utrecht ({request_id})",
        leads=leads,
        **more,
    )


def cancel_of(request: LeadRequested) -> CancelRequested:
    return CancelRequested(
        tenant_id=request.tenant_id, request_id=request.request_id, reason="no longer needed"
    )


def refund_of(request: LeadRequested, leads: int | None = None) -> RefundRequested:
    return RefundRequested(
        tenant_id=request.tenant_id,
        refund_id=f"refund-{secrets.token_hex(4)}",
        request_id=request.request_id,
        leads=leads,
        reason="some of the companies have closed",
    )


async def delivered(system: RunningSystem, request: LeadRequested) -> None:
    """Asks, and returns when the request is completed."""
    await system.upstream.ask(request)
    outcome = await system.upstream.outcome(request)
    assert "completed" == outcome.event, outcome
