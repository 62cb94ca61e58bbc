"""Where a tenant's own books contradict each other, and what hangs: found without a look at Stripe."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from steps.billing.books import PERIOD_DAYS
from steps.runtime.step import Connection

Kind = Literal["delivered", "carried", "stuck", "counted", "invoiced", "charged", "held"]

STUCK_HOURS = 2
"""After which usage that has reached nobody, and a send that is not settled, is worth a look."""

DELIVERED_DAYS = 3
"""In which a saga's leads are held against the ledger; afterwards its row is held against the send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`expected` and `found` in leads, or in money's smallest unit where `kind` is charged."""

    kind: Kind
    subject: str
    expected: int
    found: int
    reason: str
    sagas: tuple[UUID, ...] = ()


# Both are written in one transaction, so they agree at every moment of a saga's life.
_DELIVERED = """
SELECT s.saga_id, coalesce(l.leads, 0) AS recorded, v.visible
FROM sagas s
LEFT JOIN ledger l ON l.tenant_id = $1 AND l.saga_id = s.saga_id AND l.kind = 'usage'
CROSS JOIN LATERAL (SELECT count(*)::int AS visible FROM leads d
    WHERE d.tenant_id = $1 AND d.saga_id = s.saga_id AND d.visible_at IS NOT NULL) AS v
WHERE s.tenant_id = $1 AND s.created_at >= $2 AND v.visible <> coalesce(l.leads, 0)
ORDER BY s.created_at LIMIT 1000
"""

# Whose row is gone says only the answer that its saga was given.
_CARRIED = """
WITH wrong AS (
    SELECT i.intent_id, i.state, i.value, coalesce(sum(l.leads), 0)::int AS carried
    FROM intents i
    LEFT JOIN carriers c USING (tenant_id, intent_id) LEFT JOIN ledger l USING (tenant_id, ledger_id)
    WHERE i.tenant_id = $1 AND i.period_start >= $2 AND i.state <> 'missing' AND NOT EXISTS (
        SELECT FROM credits r WHERE r.tenant_id = $1 AND r.replaces = i.intent_id)
    GROUP BY i.tenant_id, i.intent_id HAVING coalesce(sum(l.leads), 0) <> i.value
)
SELECT w.*, ARRAY(
    SELECT e.saga_id FROM effects e
    WHERE e.tenant_id = $1 AND e.direction = 'do' AND e.outside ->> 'intent_id' = w.intent_id::text
        AND NOT EXISTS (SELECT FROM ledger l WHERE l.tenant_id = $1 AND l.saga_id = e.saga_id)
    ORDER BY 1 LIMIT 1000) AS sagas
FROM wrong w ORDER BY w.intent_id LIMIT 1000
"""

# What waits for a person, such as a refund that is held, is parked, and known.
_WAITING = """
SELECT l.event_name, l.period_start, u.ledger_id IS NULL AS forgotten, sum(l.leads)::int AS leads,
    (array_agg(l.saga_id ORDER BY l.occurred_at))[:1000] AS sagas
FROM ledger l
JOIN sagas s USING (tenant_id, saga_id)
LEFT JOIN carriers c USING (tenant_id, ledger_id) LEFT JOIN uncarried u USING (tenant_id, ledger_id)
WHERE l.tenant_id = $1 AND l.period_start >= $2 AND c.ledger_id IS NULL AND (u.ledger_id IS NULL
    OR l.occurred_at < now() - make_interval(hours => $3) AND s.status <> 'parked')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_STUCK = """
SELECT 'send' AS what, intent_id AS id, state, value, ARRAY(
    SELECT l.saga_id FROM carriers c JOIN ledger l USING (tenant_id, ledger_id)
    WHERE c.tenant_id = $1 AND c.intent_id = i.intent_id ORDER BY 1 LIMIT 1000) AS sagas
FROM intents i
WHERE tenant_id = $1 AND state IN ('pending', 'sending', 'ambiguous')
    AND coalesce(first_sent_at, created_at) < now() - make_interval(hours => $2)
UNION ALL
SELECT 'credit', credit_id, state, -r.leads, ARRAY[l.saga_id]
FROM credits r JOIN ledger l USING (tenant_id, ledger_id)
WHERE r.tenant_id = $1 AND r.state IN ('pending', 'sending')
    AND r.created_at < now() - make_interval(hours => $2)
"""

_HELD = """
SELECT h.saga_id, h.leads, s.status FROM holds h JOIN sagas s USING (tenant_id, saga_id)
WHERE h.tenant_id = $1 AND h.state = 'held' AND s.status IN ('completed', 'rolled_back')
ORDER BY 1 LIMIT 1000
"""

Look = Callable[[Connection, str, datetime], Awaitable[list[Finding]]]


async def own_findings(connection: Connection, tenant_id: str, horizon: datetime) -> list[Finding]:
    """All of them; `horizon` is how far back anything was found that has not gone since."""
    return [each for look in LOOKS for each in await look(connection, tenant_id, horizon)]


async def _delivered(connection: Connection, tenant_id: str, horizon: datetime) -> list[Finding]:
    rows = await connection.fetch(_DELIVERED, tenant_id, horizon - timedelta(days=DELIVERED_DAYS))
    return [
        Finding(
            kind="delivered",
            subject=f"saga {row['saga_id']}",
            expected=row["visible"],
            found=row["recorded"],
            reason=f"{row['visible']} leads are delivered, the ledger counts {row['recorded']}",
            sagas=(row["saga_id"],),
        )
        for row in rows
    ]


async def _carried(connection: Connection, tenant_id: str, horizon: datetime) -> list[Finding]:
    since = horizon - timedelta(days=2 * PERIOD_DAYS)
    sends = [
        Finding(
            kind="carried",
            subject=f"send {row['intent_id']}",
            expected=row["carried"],
            found=row["value"],
            reason=f"a send of {row['value']} leads ({row['state']}) carries ledger rows of {row['carried']}",
            sagas=tuple(row["sagas"]),
        )
        for row in await connection.fetch(_CARRIED, tenant_id, since)
    ]
    rows = await connection.fetch(_WAITING, tenant_id, since, STUCK_HOURS)
    return sends + [_waiting(row) for row in rows]


def _waiting(row: Any) -> Finding:
    why = "no send will ever carry" if row["forgotten"] else f"for {STUCK_HOURS} hours no send has carried"
    what = "forgotten" if row["forgotten"] else "waiting"
    return Finding(
        kind="carried",
        subject=f"{what} {row['event_name']} {row['period_start']:%Y-%m-%d}",
        expected=row["leads"],
        found=0,
        reason=f"{why} {row['leads']} leads of the ledger",
        sagas=tuple(row["sagas"]),
    )


async def _stuck(connection: Connection, tenant_id: str, _: datetime) -> list[Finding]:
    return [
        Finding(
            kind="stuck",
            subject=f"{row['what']} {row['id']}",
            expected=row["value"],
            found=0,
            reason=f"a {row['what']} of {row['value']} leads is {row['state']} for {STUCK_HOURS} hours",
            sagas=tuple(row["sagas"]),
        )
        for row in await connection.fetch(_STUCK, tenant_id, STUCK_HOURS)
    ]


async def _held(connection: Connection, tenant_id: str, _: datetime) -> list[Finding]:
    return [
        Finding(
            kind="held",
            subject=f"saga {row['saga_id']}",
            expected=0,
            found=row["leads"],
            reason=f"quota of {row['leads']} leads is held for a saga that is {row['status']}",
            sagas=(row["saga_id"],),
        )
        for row in await connection.fetch(_HELD, tenant_id)
    ]


LOOKS: tuple[Look, ...] = (_delivered, _carried, _stuck, _held)
