"""Small typed results of steps that later steps, events and operators read. Leads stay in the database."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.model import Model


class Fact(Model):
    """What one step found out; `STEP` names the step whose Done carries it."""

    STEP: ClassVar[str]


class QuotaReserved(Fact):
    STEP: ClassVar[str] = "reserve_quota"
    leads: int
    period_start: datetime
    period_end: datetime


class LeadsGenerated(Fact):
    """All four are of the whole saga, whatever attempts it took. `leads` are the drafts; `invalid` and
    `duplicates` were dropped. `calls` counts every call to the model that was begun, answered or not."""

    STEP: ClassVar[str] = "generate_leads"
    leads: int
    invalid: int = 0
    duplicates: int = 0
    calls: int = 0


class UsageRecorded(Fact):
    """`leads` were made visible and counted: this is M, the number that is billed."""

    STEP: ClassVar[str] = "record_usage"
    leads: int
    ledger_id: UUID


class UsageReported(Fact):
    STEP: ClassVar[str] = "report_to_stripe"
    intent_id: UUID
    identifier: str
    sent: int
    """Net leads of the whole send, which may carry several sagas; 0 = nothing had to be sent."""


class Notified(Fact):
    STEP: ClassVar[str] = "notify_discord"
    notice_id: UUID | None


class UsageRefunded(Fact):
    STEP: ClassVar[str] = "refund_usage"
    leads: int
    ledger_id: UUID
    original_id: UUID


class RefundReported(Fact):
    STEP: ClassVar[str] = "refund_at_stripe"
    intent_id: UUID
    identifier: str
    sent: int
    instrument: str = "nets_out"


FACTS: dict[str, type[Fact]] = {
    fact.STEP: fact
    for fact in (
        QuotaReserved,
        LeadsGenerated,
        UsageRecorded,
        UsageReported,
        Notified,
        UsageRefunded,
        RefundReported,
    )
}
