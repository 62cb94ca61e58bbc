"""Refunds whose answer is owed, with all that is known of them here."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from steps.billing.intents import CLOSED
from steps.runtime.step import Connection

STEP = "refund_at_stripe"
MOST = 100
"""Refunds of one visit."""

_OWED = """
SELECT e.saga_id, e.attempt, l.ledger_id, l.original_id, -l.leads AS leads, l.unit_price,
    l.currency, l.event_name,
    now() < period_end(t.billing_anchor, l.period_start) AS period_open,
    now() <= period_end(t.billing_anchor, l.period_start) + make_interval(secs => $3 * 3600) AS in_grace,
    i.intent_id, i.identifier, i.state AS intent_state, i.error, NOT EXISTS (
        SELECT FROM carriers w WHERE w.tenant_id = $1 AND w.intent_id = i.intent_id
            AND w.ledger_id <> l.ledger_id) AS alone,
    o.state AS original_state, o.customer, o.event_at, k.credit_id, k.state AS credit_state
FROM effects e JOIN ledger l USING (tenant_id, saga_id) JOIN tenants t USING (tenant_id)
LEFT JOIN carriers c USING (tenant_id, ledger_id)
LEFT JOIN intents i ON i.tenant_id = $1 AND i.intent_id = c.intent_id
LEFT JOIN credits k ON k.tenant_id = $1 AND k.credit_id = c.credit_id
LEFT JOIN carriers oc ON oc.tenant_id = $1 AND oc.ledger_id = l.original_id
LEFT JOIN intents o ON o.tenant_id = $1 AND o.intent_id = oc.intent_id
WHERE e.tenant_id = $1 AND e.owed AND e.attempt > e.answered AND e.state = 'open' AND e.direction = 'do'
    AND e.step = $2 AND l.kind = 'reversal' AND l.billing = 'metered' AND (
        c.ledger_id IS NULL AND (o.state = 'confirmed' OR o.state = 'rejected' AND o.retry_at IS NULL)
        OR coalesce(k.retry_at, now()) <= now() AND k.credit_id IS NOT NULL
        OR i.retry_at IS NULL AND (i.state = 'rejected' AND i.error = $4
            OR e.outside->>'instrument' = 'negative_event' AND i.state IN ('confirmed', 'rejected')))
ORDER BY e.updated_at, e.saga_id LIMIT $5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund whose answer is owed, and where its reversal and the usage that it takes back stand."""

    saga_id: UUID
    attempt: int
    ledger_id: UUID
    original_id: UUID
    leads: int
    unit_price: Decimal
    currency: str
    event_name: str
    period_open: bool
    in_grace: bool
    intent_id: UUID | None
    identifier: str | None
    intent_state: str | None
    error: str | None
    alone: bool
    """Nothing else goes with its intent, if it has one."""
    original_state: str | None
    customer: str | None
    event_at: datetime | None
    credit_id: UUID | None
    credit_state: str | None


async def refunds_owed(connection: Connection, tenant_id: str, grace_hours: float) -> list[Refund]:
    """Those that something can be done about now, whoever waited longest first."""
    rows = await connection.fetch(_OWED, tenant_id, STEP, grace_hours, CLOSED, MOST)
    return [Refund(**dict(row)) for row in rows]
