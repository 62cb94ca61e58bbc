"""A tenant's own books, as far as Stripe may still be compared with them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from steps.runtime.step import Connection

PERIOD_DAYS = 35
"""Days after its end in which a period is still compared: so long Stripe takes events for it."""

# A difference stays in sight for as long as it lasts, however old it gets.
_CLOCK = """
SELECT now() AS now, least(now(), (SELECT min(first_seen_at) FROM findings
    WHERE tenant_id = $1 AND resolved_at IS NULL)) AS horizon
"""

# Ledger, waiting rows and sends are added up apart from each other: that they agree is what is to be shown.
_PAGES = """
WITH entries AS (
    SELECT event_name, period_start, sum(leads)::int AS ledger FROM ledger
    WHERE tenant_id = $1 AND period_start >= $2 GROUP BY 1, 2
), waiting AS (
    SELECT l.event_name, l.period_start, sum(l.leads)::int AS leads
    FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id)
    WHERE u.tenant_id = $1 AND l.period_start >= $2 GROUP BY 1, 2
), credited AS (
    SELECT l.event_name, l.period_start, sum(l.leads)::int AS leads
    FROM carriers c JOIN ledger l USING (tenant_id, ledger_id)
    WHERE c.tenant_id = $1 AND c.intent_id IS NULL AND l.period_start >= $2 GROUP BY 1, 2
), sends AS (
    SELECT event_name, period_start, coalesce(sum(value) FILTER (WHERE state = 'confirmed'), 0)::int AS told,
        coalesce(sum(value) FILTER (WHERE state IN ('pending', 'sending', 'ambiguous')), 0)::int AS sending,
        coalesce(sum(value) FILTER (WHERE state = 'rejected'), 0)::int AS refused,
        coalesce(sum(value) FILTER (WHERE state = 'manual'), 0)::int AS by_hand
    FROM intents i WHERE tenant_id = $1 AND period_start >= $2 AND NOT EXISTS (
        SELECT FROM credits r WHERE r.tenant_id = $1 AND r.replaces = i.intent_id)
    GROUP BY 1, 2
)
SELECT event_name, period_start, period_end(t.billing_anchor, period_start) AS period_end, t.stripe_customer,
    coalesce(e.ledger, 0) AS ledger, coalesce(s.told, 0) AS told,
    coalesce(s.sending, 0) + coalesce(w.leads, 0) AS under_way, coalesce(s.refused, 0) AS refused,
    coalesce(s.by_hand, 0) AS by_hand, coalesce(c.leads, 0) AS credited
FROM entries e FULL JOIN sends s USING (event_name, period_start)
    LEFT JOIN waiting w USING (event_name, period_start)
    LEFT JOIN credited c USING (event_name, period_start), tenants t
WHERE t.tenant_id = $1 AND period_end(t.billing_anchor, period_start) > $3
ORDER BY period_start, event_name
"""

# `final`: Stripe must show it by now. `void`: it gave nothing back, a credit does instead.
_SENDS = """
SELECT i.intent_id, i.customer, i.event_name, i.period_start, i.event_at, i.value,
    i.state = 'confirmed' AS confirmed, i.state = 'confirmed' AND i.settled_at <= $3 AS final,
    EXISTS (SELECT FROM credits r WHERE r.tenant_id = $1 AND r.replaces = i.intent_id) AS void
FROM intents i
WHERE i.tenant_id = $1 AND i.period_start >= $2 AND i.value <> 0
    AND i.state IN ('pending', 'sending', 'confirmed', 'ambiguous')
ORDER BY i.event_at, i.intent_id
"""

_WORTH = """
SELECT c.intent_id, l.currency, sum(l.leads * l.unit_price) AS money
FROM carriers c JOIN ledger l USING (tenant_id, ledger_id)
WHERE c.tenant_id = $1 AND c.intent_id = ANY($2::uuid[]) GROUP BY 1, 2
"""

_SAGAS = """
SELECT DISTINCT l.saga_id FROM carriers c JOIN ledger l USING (tenant_id, ledger_id)
WHERE c.tenant_id = $1 AND c.intent_id = ANY($2::uuid[]) ORDER BY 1 LIMIT 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A send that Stripe has, or may have."""

    intent_id: UUID
    customer: str
    event_name: str
    period_start: datetime
    event_at: datetime
    value: int
    confirmed: bool
    final: bool
    void: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One meter in one billing period, in leads: `ledger` is the sum of all the others."""

    event_name: str
    period_start: datetime
    period_end: datetime
    stripe_customer: str | None
    ledger: int
    told: int
    under_way: int
    refused: int
    by_hand: int
    credited: int
    sends: list[Send] = field(default_factory=list)

    @property
    def customers(self) -> list[str]:
        """Who may have usage of ours at Stripe: nobody, if nothing was ever sent."""
        named = {send.customer for send in self.sends}
        return sorted(named | ({self.stripe_customer} if named and self.stripe_customer else set()))

    @property
    def span(self) -> tuple[datetime, datetime]:
        """In whole minutes, as Stripe counts."""
        start = self.period_start.replace(second=0, microsecond=0)
        end = self.period_end.replace(second=0, microsecond=0)
        return start, end if end == self.period_end else end + timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """`horizon`: as far back as anything that differs was seen first. `cut`: what Stripe took before it, its
    totals have to show."""

    now: datetime
    horizon: datetime
    cut: datetime
    pages: list[Page]

    def sends(self, customer: str, event_name: str, start: datetime, end: datetime) -> list[Send]:
        """Stamped in [start, end), whichever period they are of."""
        return [
            send
            for page in self.pages
            for send in page.sends
            if (send.customer, send.event_name) == (customer, event_name) and start <= send.event_at < end
        ]


async def read_books(connection: Connection, tenant_id: str, lag: timedelta) -> Books:
    clock = await connection.fetchrow(_CLOCK, tenant_id)
    compared = clock["horizon"] - timedelta(days=PERIOD_DAYS)
    since = compared - timedelta(days=PERIOD_DAYS)
    cut = clock["now"] - lag
    pages = [Page(**dict(row)) for row in await connection.fetch(_PAGES, tenant_id, since, compared)]
    of = {(page.event_name, page.period_start): page for page in pages}
    for row in await connection.fetch(_SENDS, tenant_id, since, cut):
        send = Send(**dict(row))
        if (page := of.get((send.event_name, send.period_start))) is not None:
            page.sends.append(send)
    return Books(now=clock["now"], horizon=clock["horizon"], cut=cut, pages=pages)


async def worth(connection: Connection, tenant_id: str, sends: list[Send]) -> dict[str, Decimal]:
    """What the ledger's prices come to for what these sends carry, by currency."""
    rows = await connection.fetch(_WORTH, tenant_id, [send.intent_id for send in sends])
    found: dict[str, Decimal] = {}
    for row in rows:
        found[row["currency"]] = found.get(row["currency"], Decimal(0)) + row["money"]
    return found


async def sagas_of(connection: Connection, tenant_id: str, sends: list[Send]) -> list[UUID]:
    """Whose usage these sends carry."""
    rows: list[Any] = await connection.fetch(_SAGAS, tenant_id, [send.intent_id for send in sends])
    return [row["saga_id"] for row in rows]
