"""When a tenant is reconciled next: every hour, and once more shortly before an invoice is final."""

from datetime import datetime

from steps.billing.settings import Rhythm
from steps.runtime.step import Connection
from steps.work import due
from steps.work.due import Left

LAST_CHANCE = 0.75
"""Of the grace: what is found by then can still be put on the invoice."""

# `asked`: somebody wanted it once more while it was under way.
_NEXT = """
WITH chances AS (
    SELECT ended + make_interval(secs => $3) AS at FROM tenants t,
        unnest(ARRAY[period_start(t.billing_anchor, now()), period_end(t.billing_anchor, now())]) AS ended
    WHERE t.tenant_id = $1
)
SELECT coalesce(d.due_at <= now(), false) AS asked, coalesce(d.since, now()) AS since, now() AS now,
    least(now() + make_interval(secs => $2), (SELECT min(at) FROM chances WHERE at > now())) AS due_at
FROM (SELECT) AS one LEFT JOIN work_due d ON d.kind = 'reconcile' AND d.tenant_id = $1
"""


async def finish(
    connection: Connection, tenant_id: str, rhythm: Rhythm, findings: int, complete: datetime | None
) -> None:
    """Ends a reconciliation that began at `complete`; None = Stripe could not be read, so it is made again
    sooner. Its row keeps how many findings are open, and when all of the tenant was compared last."""
    interval = rhythm.again if complete is None else rhythm.interval

    async def look(connection: Connection) -> Left:
        grace = rhythm.grace_hours * 3600 * LAST_CHANCE
        row = await connection.fetchrow(_NEXT, tenant_id, interval, grace)
        return Left(row["now"] if row["asked"] else row["due_at"], findings, complete or row["since"])

    await due.finish(connection, "reconcile", tenant_id, look)
