"""Billed = delivered: what the ledger says, beside what Stripe was told."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from contracts.process.postgres import Database
from orchestrator.operate.errors import NotFound
from orchestrator.operate.plain import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Leads of one tenant in one billing period. `delivered` less `refunded` is what Stripe must be told.

    `told`: confirmed by Stripe, as an event or as a credit. `under_way`: none planned yet, or not settled.
    `stuck`: refused by Stripe.
    A send that is missing there is none: another one carries its rows. `by_hand`: never told, since people
    bill it. `amount` is what the net comes to at the prices of the ledger; None with several currencies.
    """

    tenant_id: str
    period_start: datetime
    event_name: str
    delivered: int
    refunded: int
    told: int
    under_way: int
    stuck: int
    by_hand: int = 0
    amount: Decimal | None = None
    currency: str | None = None

    @property
    def net(self) -> int:
        return self.delivered - self.refunded

    @property
    def billed_is_delivered(self) -> Literal["yes", "under way", "no"]:
        if self.told + self.by_hand == self.net and not (self.under_way or self.stuck):
            return "yes"
        return (
            "under way" if not self.stuck and self.told + self.by_hand + self.under_way == self.net else "no"
        )


# Ledger and intents are added up apart from each other: that they agree is what is to be shown.
_USAGE = """
WITH entries AS (
    SELECT event_name, period_start, coalesce(sum(leads) FILTER (WHERE kind = 'usage'), 0)::int AS delivered,
        coalesce(-sum(leads) FILTER (WHERE kind = 'reversal'), 0)::int AS refunded,
        CASE WHEN min(currency) = max(currency) THEN sum(leads * unit_price) END AS amount,
        CASE WHEN min(currency) = max(currency) THEN min(currency) END AS currency
    FROM ledger WHERE tenant_id = $1 GROUP BY 1, 2
), waiting AS (
    SELECT l.event_name, l.period_start, sum(l.leads)::int AS leads, count(*)::int AS entries
    FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id) WHERE u.tenant_id = $1 GROUP BY 1, 2
), sends AS (
    SELECT event_name, period_start, coalesce(sum(value) FILTER (WHERE state = 'confirmed'), 0)::int AS told,
        coalesce(sum(value) FILTER (WHERE state IN ('pending', 'sending', 'ambiguous')), 0)::int AS sending,
        coalesce(sum(value) FILTER (WHERE state = 'rejected'), 0)::int AS stuck,
        coalesce(sum(value) FILTER (WHERE state = 'manual'), 0)::int AS by_hand
    FROM intents i WHERE tenant_id = $1 AND NOT EXISTS (
        SELECT FROM credits k WHERE k.tenant_id = $1 AND k.replaces = i.intent_id) GROUP BY 1, 2
), credited AS (
    SELECT event_name, period_start,
        coalesce(-sum(k.leads) FILTER (WHERE state = 'confirmed'), 0)::int AS told,
        coalesce(-sum(k.leads) FILTER (WHERE state IN ('pending', 'sending')), 0)::int AS sending,
        coalesce(-sum(k.leads) FILTER (WHERE state = 'rejected'), 0)::int AS stuck
    FROM credits k JOIN ledger l USING (tenant_id, ledger_id) WHERE k.tenant_id = $1 GROUP BY 1, 2
)
SELECT $1::text AS tenant_id, period_start, event_name, coalesce(e.delivered, 0) AS delivered,
    coalesce(e.refunded, 0) AS refunded, coalesce(s.told, 0) + coalesce(k.told, 0) AS told,
    coalesce(s.sending, 0) + coalesce(k.sending, 0) + coalesce(w.leads, 0) AS under_way,
    coalesce(s.stuck, 0) + coalesce(k.stuck, 0) AS stuck, coalesce(s.by_hand, 0) AS by_hand,
    e.amount, e.currency
FROM entries e FULL JOIN sends s USING (event_name, period_start)
    LEFT JOIN waiting w USING (event_name, period_start)
    LEFT JOIN credited k USING (event_name, period_start)
ORDER BY period_start, event_name
"""


async def usage(database: Database, tenant_id: str | None = None) -> list[Usage]:
    """By tenant and billing period; one transaction a tenant. Raises NotFound for an unknown tenant."""
    async with database.transaction(name="operate.usage_tenants") as connection:
        known = [str(row[0]) for row in await connection.fetch("SELECT tenant_id FROM tenants ORDER BY 1")]
    if tenant_id is not None and tenant_id not in known:
        raise NotFound(f"there is no tenant {tenant_id}")
    found: list[Usage] = []
    for each in known if tenant_id is None else [tenant_id]:
        async with database.transaction(each, name="operate.usage") as connection:
            found += rows(Usage, await connection.fetch(_USAGE, each))
    return found
