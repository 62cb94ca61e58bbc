"""What upstream services hear. Published to the events exchange with routing key `<tenant>.<event>`.

An event may be delivered more than once: `event_id` is stable, so keep the ids you have handled.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.ids import RequestId, TenantId
from contracts.model import WIRE_VERSION, Model

LEADS_PER_EVENT = 25


class _Event(Model):
    v: Literal[1] = WIRE_VERSION
    event_id: UUID
    tenant_id: TenantId
    request_id: RequestId
    saga: str
    saga_id: UUID | None
    refund_id: RequestId | None = None
    """Set when it is the refund of `request_id` that this speaks of."""
    at: datetime


class Accepted(_Event):
    event: Literal["accepted"] = "accepted"


class Refused(_Event):
    """The request starts nothing; `reason` says what to change."""

    event: Literal["refused"] = "refused"
    reason: str


class Lead(Model):
    lead_id: UUID
    company: str
    website: str
    contact_name: str
    contact_title: str
    email: str
    country: str
    reason: str
    score: int


class LeadsReady(_Event):
    """The delivery itself: at most 25 leads, part i of n. Billed are exactly the leads of all parts."""

    event: Literal["leads_ready"] = "leads_ready"
    part: int
    parts: int
    total: int
    leads: list[Lead] = Field(max_length=LEADS_PER_EVENT)


class Completed(_Event):
    event: Literal["completed"] = "completed"
    requested: int
    delivered: int


class Failed(_Event):
    """Nothing was delivered and nothing is charged."""

    event: Literal["failed"] = "failed"
    reason: str


class Refunded(_Event):
    """`leads` were given back. `withdrawn` of the request's leads are not delivered again."""

    event: Literal["refunded"] = "refunded"
    leads: int
    withdrawn: int = 0


class Provisioned(_Event):
    """`new_tenant` may ask for leads, and is billed as `stripe_customer`; by hand, if there is none."""

    event: Literal["provisioned"] = "provisioned"
    new_tenant: TenantId
    stripe_customer: str | None


class Parked(_Event):
    """The request waits for one of our people; nothing is lost, nothing is charged twice."""

    event: Literal["parked"] = "parked"
    step: str
    reason: str


Event = Annotated[
    Accepted | Refused | LeadsReady | Completed | Failed | Refunded | Provisioned | Parked,
    Field(discriminator="event"),
]
