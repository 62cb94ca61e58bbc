"""What upstream services ask for. One JSON object per AMQP message, routed by `<tenant>.<type>`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contracts.ids import RequestId, TenantId
from contracts.model import WIRE_VERSION, Model

MAX_LEADS = 500
MAX_CRITERIA = 2000

NO_NUL = r"^[^\x00]*$"
"""Postgres stores every character but this one."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=NO_NUL)]
Criteria = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CRITERIA, pattern=NO_NUL)
]


class LeadRequested(Model):
    """Generate `leads` sales leads that match `criteria`; billed is what was delivered, never more.

    Idempotent by (tenant_id, request_id) for at least 35 days: the same content again is answered with the
    same outcome, other content is refused.
    """

    v: Literal[1] = WIRE_VERSION
    type: Literal["lead_requested"] = "lead_requested"
    tenant_id: TenantId
    request_id: RequestId
    criteria: Criteria
    leads: int = Field(ge=1, le=MAX_LEADS, strict=True)
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")


class CancelRequested(Model):
    """Stop a request that is under way. After usage is recorded it has no effect: ask for a refund."""

    v: Literal[1] = WIRE_VERSION
    type: Literal["cancel_requested"] = "cancel_requested"
    tenant_id: TenantId
    request_id: RequestId
    reason: Text
    requested_by: str = Field(default="upstream", max_length=200, pattern=NO_NUL)


class RefundRequested(Model):
    """Give back `leads` leads of a delivered request (all that is still billed when `leads` is missing).

    Idempotent by (tenant_id, refund_id). Asked before usage is recorded it is a cancel.
    """

    v: Literal[1] = WIRE_VERSION
    type: Literal["refund_requested"] = "refund_requested"
    tenant_id: TenantId
    refund_id: RequestId
    request_id: RequestId
    leads: int | None = Field(default=None, ge=1, le=MAX_LEADS, strict=True)
    reason: Text
    requested_by: str = Field(default="upstream", max_length=200, pattern=NO_NUL)


Request = Annotated[LeadRequested | CancelRequested | RefundRequested, Field(discriminator="type")]
