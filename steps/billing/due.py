"""When the flush is to look at a tenant."""

from steps.billing.intents import CARRIABLE
from steps.billing.settings import Pace, flush_pace
from steps.runtime.step import Connection
from steps.work import due
from steps.work.due import Left


async def note_usage(connection: Connection, tenant_id: str, leads: int, pace: Pace | None = None) -> None:
    """To be called in the transaction that appends `leads` (of one row or several, reversals counted without
    their sign) to a tenant's ledger: they are reported within the interval, or at once when many wait."""
    pace = pace or flush_pace()
    await due.add(connection, "flush", tenant_id, within=pace.interval, weight=abs(leads), full=pace.leads)


async def note_owed(connection: Connection, tenant_id: str, within: float) -> None:
    """An answer is owed to a saga."""
    await due.add(connection, "flush", tenant_id, within=within)


# A reversal that waits for its refund to choose is owed an answer, or rests until somebody replays it. Rows
# of a meter that has an intent open wait for that. What is to be sent again waits behind the open ones.
_LEFT = f"""
WITH open AS (
    SELECT event_name, retry_at, state, created_at FROM intents
    WHERE tenant_id = $1 AND state IN ('pending', 'sending', 'ambiguous')
), waiting AS (
    SELECT l.leads, l.occurred_at, l.event_name IN (SELECT event_name FROM open) AS blocked
    FROM uncarried u JOIN ledger l USING (tenant_id, ledger_id) WHERE u.tenant_id = $1 AND {CARRIABLE}
), again AS (
    SELECT min(created_at) AS since FROM intents
    WHERE tenant_id = $1 AND state = 'rejected' AND retry_at IS NOT NULL
), owed AS (
    SELECT min(updated_at) AS since FROM effects WHERE tenant_id = $1 AND owed
), free AS (
    SELECT CASE WHEN sum(abs(leads)) >= $3 THEN now()
                ELSE min(occurred_at) + make_interval(secs => $2) END AS due_at
    FROM waiting WHERE NOT blocked
)
SELECT coalesce(least((SELECT due_at FROM free),
                      (SELECT min(coalesce(retry_at, now())) FROM open),
                      (SELECT min(coalesce(retry_at, now())) FROM credits
                       WHERE tenant_id = $1 AND state IN ('pending', 'sending'))),
                now() + make_interval(secs => $2)) AS due_at,
       coalesce((SELECT sum(abs(leads)) FROM waiting), 0)::int AS weight,
       least((SELECT min(occurred_at) FROM waiting), (SELECT min(created_at) FROM open),
             again.since, owed.since) AS since
FROM owed, again
"""  # noqa: S608 - constants of ours


async def left_to_flush(connection: Connection, tenant_id: str, pace: Pace) -> Left | None:
    """What a flush of this tenant still has to do, None when ledger, Stripe and sagas agree."""
    row = await connection.fetchrow(_LEFT, tenant_id, pace.interval, pace.leads)
    if row["since"] is None:
        return None
    return Left(row["due_at"], row["weight"], row["since"])
