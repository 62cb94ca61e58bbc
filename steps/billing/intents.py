"""Planning sends to Stripe. Every intent is committed, with the ledger rows it carries, before any call."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat

from steps.billing.settings import IDENTIFIER_HOURS
from steps.runtime.step import Connection

NO_CUSTOMER = "the tenant has no Stripe customer"
CLOSED = "the billing period is closed"

# Plans of one tenant are made one after another, by whichever process.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('flush ' || $1, 0))"

# A reversal goes with its usage if that has not gone yet, or once its refund has found no invoice.
CARRIABLE = """(l.kind = 'usage' OR l.billing = 'manual'
    OR EXISTS (SELECT FROM uncarried o WHERE o.tenant_id = l.tenant_id AND o.ledger_id = l.original_id)
    OR EXISTS (
        SELECT FROM effects e JOIN tenants x USING (tenant_id)
        WHERE e.tenant_id = l.tenant_id AND e.saga_id = l.saga_id AND e.step = 'refund_at_stripe'
            AND e.direction = 'do' AND e.state = 'open' AND e.outside->>'instrument' = 'nets_out'
            AND now() < period_end(x.billing_anchor, l.period_start)))"""

_SLICES = f"""
SELECT l.event_name, l.period_start, l.billing
FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id)
WHERE u.tenant_id = $1 AND {CARRIABLE} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 - constants of this file

# One statement, so that the value and the rows it stands for are one snapshot. Stripe counts an event in the
# period of its time; once the period's invoice is final it takes an event and bills nothing for it.
_PLAN = f"""
WITH slice AS (
    SELECT l.ledger_id, l.leads FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id)
    WHERE u.tenant_id = $1 AND l.event_name = $4 AND l.period_start = $5 AND l.billing = $9
        AND {CARRIABLE}
), net AS (
    SELECT sum(leads)::int AS value FROM slice HAVING count(*) > 0
), planned AS (
    SELECT net.value, t.stripe_customer,
        greatest($5, least(
            date_trunc('second', now()),
            period_end(t.billing_anchor, $5) - interval '1 second')) AS at,
        CASE WHEN net.value = 0 OR $9 = 'manual' THEN NULL
             WHEN now() > period_end(t.billing_anchor, $5) + make_interval(secs => $8 * 3600) THEN $7
             WHEN t.stripe_customer IS NULL THEN $6 END AS error
    FROM net, tenants t WHERE t.tenant_id = $1
), intent AS (
    INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start,
                         value, state, error, settled_at)
    SELECT $1, $2, $3, coalesce(stripe_customer, ''), $4, at, $5, value, state, error,
           CASE WHEN state <> 'pending' THEN now() END
    FROM planned, LATERAL (SELECT CASE WHEN error IS NOT NULL THEN 'rejected' WHEN $9 = 'manual' THEN 'manual'
                                       WHEN value = 0 THEN 'confirmed' ELSE 'pending' END AS state) AS decided
    ON CONFLICT DO NOTHING
    RETURNING intent_id, state, error
), flagged AS (
    INSERT INTO billing_flags (tenant_id, intent_id, reason)
    SELECT $1, intent_id, error FROM intent WHERE error = $6
    ON CONFLICT (tenant_id) DO UPDATE SET intent_id = excluded.intent_id, reason = excluded.reason
), claimed AS (
    INSERT INTO carriers (tenant_id, ledger_id, intent_id)
    SELECT $1, slice.ledger_id, intent.intent_id FROM slice, intent
)
SELECT state FROM intent
"""  # noqa: S608 - constants of this file

_FIELDS = f"""intent_id, identifier, customer, event_name, event_at, value, state, attempts, key_generation,
    first_key, coalesce(retry_at, now()) <= now()
        AND coalesce(first_sent_at, now()) > now() - interval '{IDENTIFIER_HOURS} hours' AS ripe"""

_OPEN = f"""
SELECT {_FIELDS} FROM intents WHERE tenant_id = $1 AND state IN ('pending', 'sending', 'ambiguous')
ORDER BY event_name
"""  # noqa: S608 - constants of this file

_STILL_REFUSED = """
UPDATE intents i SET retry_at = NULL, error = refused.error
FROM (
    SELECT intent_id, CASE
        WHEN now() > period_end(t.billing_anchor, r.period_start) + make_interval(secs => $4 * 3600) THEN $3
        WHEN t.stripe_customer IS NULL THEN $2 END AS error
    FROM intents r JOIN tenants t USING (tenant_id)
    WHERE r.tenant_id = $1 AND r.state = 'rejected' AND r.retry_at IS NOT NULL
) AS refused
WHERE i.tenant_id = $1 AND i.intent_id = refused.intent_id AND refused.error IS NOT NULL
"""

# The key is new because Stripe repeats a stored refusal; the identifier stays, since it was never taken.
_REVIVE = """
UPDATE intents i SET state = 'pending', customer = t.stripe_customer, key_generation = key_generation + 1,
    retry_at = NULL, error = NULL, first_sent_at = NULL, first_key = NULL, settled_at = NULL
FROM tenants t
WHERE t.tenant_id = $1 AND i.tenant_id = $1 AND i.intent_id IN (
    SELECT DISTINCT ON (event_name) intent_id FROM intents r
    WHERE tenant_id = $1 AND state = 'rejected' AND retry_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM intents o WHERE o.tenant_id = $1 AND o.event_name = r.event_name
            AND o.state IN ('pending', 'sending', 'ambiguous'))
    ORDER BY event_name, created_at)
"""


@dataclass(frozen=True, slots=True)
class Slice:
    """What goes to Stripe as one event: one meter in one billing period."""

    event_name: str
    period_start: datetime
    billing: str = "metered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    tenant_id: str
    intent_id: UUID
    identifier: str
    customer: str
    event_name: str
    event_at: datetime
    value: int
    state: str
    attempts: int
    key_generation: int
    first_key: int | None
    ripe: bool
    """The time of its next call has come, no call is under way, and Stripe still knows its identifier."""

    @property
    def perhaps_taken(self) -> bool:
        """Stripe may have taken an earlier call."""
        return self.state == "sending"

    @property
    def refusal_is_proof(self) -> bool:
        """Under the key of an earlier call that was taken Stripe would repeat its success, so a refusal
        proves that it was not. After the key was changed it proves nothing."""
        return not self.perhaps_taken or self.first_key == self.key_generation

    @property
    def idempotency_key(self) -> str:
        return f"{self.identifier}:{self.key_generation}"


def identifier_of(tenant_id: str, intent_id: UUID) -> str:
    """By which Stripe knows an event. Made of ours alone, never of what is sent."""
    return f"{tenant_id}-{intent_id}"


async def lock_plans(connection: Connection, tenant_id: str) -> None:
    """Until the end of the transaction nobody else plans for the tenant."""
    await connection.execute(_LOCK, tenant_id)


async def slices(connection: Connection, tenant_id: str) -> list[Slice]:
    """That have ledger rows without a carrier, oldest period of each meter first."""
    rows = await connection.fetch(_SLICES, tenant_id)
    return [Slice(row["event_name"], row["period_start"], row["billing"]) for row in rows]


async def plan(connection: Connection, tenant_id: str, slice_: Slice, grace_hours: float) -> str | None:
    """Makes the intent that carries the net of a slice. Says its state; None when there is nothing to carry
    or the meter has an intent open. A net of 0 is confirmed at once: there is nothing to tell Stripe; so is
    what people bill, as `manual`. What Stripe would not bill any more is rejected at once."""
    await lock_plans(connection, tenant_id)
    intent_id = uuid_utils.compat.uuid7()
    state: str | None = await connection.fetchval(
        _PLAN,
        tenant_id,
        intent_id,
        identifier_of(tenant_id, intent_id),
        slice_.event_name,
        slice_.period_start,
        NO_CUSTOMER,
        CLOSED,
        grace_hours,
        slice_.billing,
    )
    return state


async def open_intents(connection: Connection, tenant_id: str) -> list[Intent]:
    """At most one a meter."""
    return [_intent(tenant_id, row) for row in await connection.fetch(_OPEN, tenant_id)]


async def revive(connection: Connection, tenant_id: str, grace_hours: float) -> None:
    """Opens refused intents that an operator wants tried again, one a meter and only where none is open.
    Stripe surely did not take them, so they keep their identifiers. Those of a closed period stay refused."""
    await lock_plans(connection, tenant_id)
    await connection.execute(_STILL_REFUSED, tenant_id, NO_CUSTOMER, CLOSED, grace_hours)
    await connection.execute(_REVIVE, tenant_id)


def _intent(tenant_id: str, row: Any) -> Intent:
    return Intent(tenant_id=tenant_id, **dict(row))
