"""Small typed results of steps that later steps, events and operators read. Leads stay in the database."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal
from uuid import UUID

from contracts.ids import TenantId
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
    withdrawn: int = 0
    """Leads that are not delivered again."""
    quota_returned: int = 0


Instrument = Literal["nets_out", "negative_event", "credit_note", "balance_credit"]
"""How a refund reaches Stripe: together with the usage of an open billing period, as an event of its own
while the invoice is a draft, as a note on the final invoice, as credit on the customer's balance."""


class RefundReported(Fact):
    """Of an event: intent, identifier and value. Of a credit: what Stripe calls it, and the money that was
    given back, tax included, in the currency's smallest unit; without an id it was worth less than that."""

    STEP: ClassVar[str] = "refund_at_stripe"
    intent_id: UUID | None = None
    identifier: str | None = None
    sent: int = 0
    instrument: Instrument = "nets_out"
    stripe_id: str | None = None
    invoice: str | None = None
    amount: int | None = None
    currency: str | None = None


class TenantStored(Fact):
    """What the tenant is sold, as its plan said when it was stored."""

    STEP: ClassVar[str] = "store_tenant"
    tenant_id: TenantId
    plan_id: str
    monthly_quota: int
    price_per_lead: Decimal
    currency: str
    event_name: str
    billing: Literal["metered", "manual"]
    stripe_price: str | None
    billing_anchor: datetime
    stored_at: datetime


class AccountOpened(Fact):
    """At Stripe. Nothing where a plan is billed by hand."""

    STEP: ClassVar[str] = "open_account"
    customer: str | None = None
    subscription: str | None = None
    price: str | None = None


class FlagsSeeded(Fact):
    STEP: ClassVar[str] = "seed_flags"
    flags: dict[str, bool]


class TenantActivated(Fact):
    STEP: ClassVar[str] = "activate_tenant"
    tenant_id: TenantId
    stripe_customer: str | None


class TenantWelcomed(Fact):
    STEP: ClassVar[str] = "welcome_tenant"
    notice_id: UUID


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
        TenantStored,
        AccountOpened,
        FlagsSeeded,
        TenantActivated,
        TenantWelcomed,
    )
}
