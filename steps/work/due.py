"""`work_due`: the one table that steps read across tenants. It holds ids and times, never content.

Whoever adds work adds it here in the same transaction. `finish` locks the row before it looks what is left,
so work is either seen by it or adds a row after it: none is forgotten, whatever is killed in between.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from steps.runtime.step import Connection

Kind = Literal["flush", "notices", "reconcile"]

_ADD = """
INSERT INTO work_due AS d (kind, tenant_id, due_at, weight)
VALUES ($1, $2, now() + make_interval(secs => CASE WHEN $4::int >= $5::int THEN 0 ELSE $3 END), $4)
ON CONFLICT (kind, tenant_id) DO UPDATE
SET due_at = least(d.due_at, CASE WHEN d.weight + excluded.weight >= $5 THEN now() ELSE excluded.due_at END),
    weight = d.weight + excluded.weight, version = d.version + 1
"""

_CLAIM = """
UPDATE work_due d SET due_at = now() + make_interval(secs => $4)
FROM (
    SELECT tenant_id FROM work_due
    WHERE kind = $1 AND due_at <= now() AND tenant_id <> ALL($2::text[])
    ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
) AS taken
WHERE d.kind = $1 AND d.tenant_id = taken.tenant_id
RETURNING d.tenant_id
"""

_NEXT = """
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM work_due
WHERE kind = $1 AND tenant_id <> ALL($2::text[])
"""

_SOON = """
UPDATE work_due SET due_at = least(due_at, now() + make_interval(secs => $3))
WHERE kind = $1 AND tenant_id = $2
"""

_LOCK = "SELECT FROM work_due WHERE kind = $1 AND tenant_id = $2 FOR NO KEY UPDATE"

_LEAVE = """
INSERT INTO work_due AS d (kind, tenant_id, due_at, weight, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, tenant_id) DO UPDATE
SET due_at = excluded.due_at, weight = excluded.weight, since = excluded.since
"""

_DELETE = "DELETE FROM work_due WHERE kind = $1 AND tenant_id = $2"

UNLIMITED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Left:
    """What a visit left behind: when it can go on, how much it is, since when the oldest of it waits."""

    due_at: datetime
    weight: int
    since: datetime


Look = Callable[[Connection], Awaitable[Left | None]]


async def add(  # noqa: PLR0913 - keywords
    connection: Connection,
    kind: Kind,
    tenant_id: str,
    *,
    within: float,
    weight: int = 0,
    full: int = UNLIMITED,
) -> None:
    """There is work to be done `within` seconds; at once when all that waits weighs `full` or more."""
    await connection.execute(_ADD, kind, tenant_id, float(within), weight, full)


async def claim(
    connection: Connection, kind: Kind, *, but: Collection[str], limit: int, lease: float
) -> list[str]:
    """At most `limit` tenants whose work is due, longest due first, none of `but`. Nobody else gets them for
    `lease` seconds, unless new work makes them due again."""
    return [row["tenant_id"] for row in await connection.fetch(_CLAIM, kind, list(but), limit, lease)]


async def until_next(connection: Connection, kind: Kind, *, but: Collection[str]) -> float | None:
    """Seconds until the next tenant is due (negative when one is), None when nobody waits."""
    found: float | None = await connection.fetchval(_NEXT, kind, list(but))
    return found


async def again(connection: Connection, kind: Kind, tenant_id: str, *, within: float) -> None:
    await connection.execute(_SOON, kind, tenant_id, within)


async def finish(connection: Connection, kind: Kind, tenant_id: str, look: Look) -> None:
    """Ends a visit: keeps the row with what `look` finds still to be done, or removes it. `look` runs after
    the row was locked and must read in statements of its own."""
    await connection.fetch(_LOCK, kind, tenant_id)
    left = await look(connection)
    if left is None:
        await connection.execute(_DELETE, kind, tenant_id)
    else:
        await connection.execute(_LEAVE, kind, tenant_id, left.due_at, left.weight, left.since)
