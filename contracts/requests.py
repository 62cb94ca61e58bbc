"""What upstream services ask for. One JSON object per AMQP message, routed by `<tenant>.<type>`."""

from typing import Annotated, Literal

from pydantic import Base64Bytes, Field, StrictBool, StringConstraints

from contracts.ids import ADMINISTRATION, RequestId, TenantId
from contracts.model import WIRE_VERSION, Model

MAX_LEADS = 500
MAX_CRITERIA = 2000

NO_NUL = r"^[^\x00]*$"
"""Postgres stores every character but this one."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=NO_NUL)]
Criteria = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CRITERIA, pattern=NO_NUL)
]

MAX_LIMIT = 100_000
MAX_FLAGS = 50

TenantName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NO_NUL)
]
PlanId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
FlagName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


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

    Idempotent by (tenant_id, refund_id). Asked before usage is recorded it is a cancel. `withdraw_leads`: the
    worst of the leads, as many as are given back, are not delivered again; otherwise the tenant keeps them.
    `return_quota`: they may be ordered again in the billing period that they were taken from.
    """

    v: Literal[1] = WIRE_VERSION
    type: Literal["refund_requested"] = "refund_requested"
    tenant_id: TenantId
    refund_id: RequestId
    request_id: RequestId
    leads: int | None = Field(default=None, ge=1, le=MAX_LEADS, strict=True)
    reason: Text
    requested_by: str = Field(default="upstream", max_length=200, pattern=NO_NUL)
    evidence: str = Field(default="", max_length=2000, pattern=NO_NUL)
    """What shows that it is due: a ticket, a bounce report."""
    withdraw_leads: bool = Field(default=False, strict=True)
    return_quota: bool = Field(default=True, strict=True)


class SealedWebhook(Model):
    """A Discord webhook as it is stored: it opens for its tenant only, with the key of that id."""

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    sealed: Base64Bytes = Field(max_length=4000, repr=False)


class TenantRequested(Model):
    """Add a tenant that buys leads: with its account at Stripe, or not at all.

    Idempotent by request_id. Only the administration asks for it: its users, and the operators'.
    """

    v: Literal[1] = WIRE_VERSION
    type: Literal["tenant_requested"] = "tenant_requested"
    tenant_id: Literal["administration"] = ADMINISTRATION
    request_id: RequestId
    new_tenant: TenantId
    name: TenantName
    plan: PlanId
    sagas_in_flight: int = Field(default=50, ge=1, le=MAX_LIMIT, strict=True)
    """At most; the rest waits its turn."""
    model_calls: int = Field(default=4, ge=1, le=MAX_LIMIT, strict=True)
    """At most, side by side."""
    flags: dict[FlagName, StrictBool] = Field(default={}, max_length=MAX_FLAGS)
    """Feature flags that differ from what every tenant begins with."""
    webhook: SealedWebhook | None = None
    requested_by: str = Field(default="upstream", max_length=200, pattern=NO_NUL)


Request = Annotated[
    LeadRequested | CancelRequested | RefundRequested | TenantRequested, Field(discriminator="type")
]
