"""Whether anything is under way in a system, as its database has it."""

from typing import Any

_UNDER_WAY = """
SELECT
    (SELECT count(*) FROM sagas WHERE status IN ('waiting', 'running', 'unwinding')) AS "sagas",
    (SELECT count(*) FROM events_out) AS "events",
    (SELECT count(*) FROM intents WHERE state IN ('pending', 'sending', 'ambiguous')) AS "sends",
    (SELECT count(*) FROM uncarried) AS "usage",
    (SELECT count(*) FROM effects e JOIN sagas s USING (tenant_id, saga_id)
     WHERE e.owed AND s.status <> 'parked') AS "owed answers",
    (SELECT count(*) FROM notices WHERE state IN ('waiting', 'sending')) AS "notices"
"""

_UNENDED = """
SELECT concat_ws(' ', saga, request_id, status, state ->> 'step', 'attempt', state ->> 'attempt',
                 'waits for', state ->> 'waits_for', 'until', wake_at, 'since', updated_at)
FROM sagas WHERE status IN ('waiting', 'running', 'unwinding') ORDER BY saga_id
"""


async def unended(sql: Any) -> list[str]:
    """Where each saga stands that has not ended and is not parked."""
    return [str(row[0]) for row in await sql.fetch(_UNENDED)]


async def under_way(sql: Any) -> dict[str, int]:
    """How many of each; nothing, when all is quiet. `sql`: a superuser's connection or pool."""
    counted: dict[str, int] = dict(await sql.fetchrow(_UNDER_WAY))
    return {name: count for name, count in counted.items() if count}
