"""The rows of `notices` on their way to Discord.

'sending' is committed before a call, so a crash leaves it; when its lease is over the message counts as
perhaps sent, and is not repeated.
"""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from contracts.process import logs
from contracts.process.sealing import CannotOpen
from steps.notices.webhook import Webhook, webhook
from steps.runtime.step import Connection
from steps.work.due import Left

log = logs.get("notices")

PER_MESSAGE = 10
"""Discord takes at most ten embeds in one message."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('notices ' || $1, 0))"

_EXPIRE = """
UPDATE notices SET state = CASE WHEN state = 'sending' THEN 'unknown' ELSE 'given_up' END,
    error = CASE WHEN state = 'sending' THEN 'the process ended during the call'
                 ELSE coalesce(error, 'too old') END,
    settled_at = now(), retry_at = NULL
WHERE tenant_id = $1 AND state IN ('waiting', 'sending')
    AND (state = 'sending' AND coalesce(retry_at, created_at) <= now()
         OR state = 'waiting' AND created_at < now() - make_interval(secs => $2))
"""

_NO_WEBHOOK = """
UPDATE notices SET state = 'no_webhook', settled_at = now(), retry_at = NULL
WHERE tenant_id = $1 AND state = 'waiting'
"""

# Nothing is taken while a message of the tenant is under way, or Discord asked to be left alone.
_TAKE = """
UPDATE notices n SET state = 'sending', attempts = attempts + 1, retry_at = now() + make_interval(secs => $2)
FROM (
    SELECT notice_id FROM notices
    WHERE tenant_id = $1 AND state = 'waiting' AND NOT EXISTS (
        SELECT FROM notices b
        WHERE b.tenant_id = $1 AND b.state IN ('waiting', 'sending') AND b.retry_at > now())
    ORDER BY created_at, notice_id LIMIT $3
) AS next
WHERE n.tenant_id = $1 AND n.notice_id = next.notice_id
RETURNING n.notice_id, n.event, n.title, n.body, n.attempts, n.created_at
"""

_SETTLE = """
UPDATE notices SET state = $3, error = $4, settled_at = now(), retry_at = NULL
WHERE tenant_id = $1 AND notice_id = ANY($2::uuid[])
    AND (state = 'sending' OR state = 'unknown' AND $3 = 'sent')
"""

_AGAIN = """
UPDATE notices SET state = 'waiting', error = $3, retry_at = now() + make_interval(secs => $4)
WHERE tenant_id = $1 AND notice_id = ANY($2::uuid[]) AND state = 'sending'
"""

_LEFT = """
SELECT coalesce(max(retry_at) FILTER (WHERE retry_at > now()), now() + make_interval(secs => $2)) AS due_at,
       count(*)::int AS weight, min(created_at) AS since
FROM notices WHERE tenant_id = $1 AND state IN ('waiting', 'sending')
"""

Settled = Literal["sent", "unknown", "given_up", "no_webhook"]


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out together: marked 'sending', for the webhook."""

    webhook: Webhook
    rows: tuple[Any, ...]

    @property
    def ids(self) -> list[UUID]:
        return [row["notice_id"] for row in self.rows]

    @property
    def attempts(self) -> int:
        return max(int(row["attempts"]) for row in self.rows)


async def take(
    connection: Connection, tenant_id: str, *, patience_hours: float, lease: float
) -> Message | None:
    """Marks the tenant's next message as being sent; None when there is nothing to send now, or nowhere that
    can be read: then the notices wait. Commit before sending it."""
    await connection.execute(_LOCK, tenant_id)
    await connection.execute(_EXPIRE, tenant_id, patience_hours * 3600)
    try:
        told = await webhook(connection, tenant_id)
    except CannotOpen:
        log.warning("webhook_not_opened", tenant=tenant_id)
        return None
    if told is None:
        await connection.execute(_NO_WEBHOOK, tenant_id)
        return None
    rows = await connection.fetch(_TAKE, tenant_id, lease, PER_MESSAGE)
    if not rows:
        return None
    return Message(told, tuple(sorted(rows, key=lambda row: (row["created_at"], row["notice_id"]))))


async def settle(
    connection: Connection, tenant_id: str, message: Message, state: Settled, error: str | None = None
) -> None:
    await connection.execute(_SETTLE, tenant_id, message.ids, state, error)


async def wait_again(
    connection: Connection, tenant_id: str, message: Message, error: str, seconds: float
) -> None:
    await connection.execute(_AGAIN, tenant_id, message.ids, error, seconds)


async def left(connection: Connection, tenant_id: str, interval: float) -> Left | None:
    row = await connection.fetchrow(_LEFT, tenant_id, interval)
    return None if row["weight"] == 0 else Left(row["due_at"], row["weight"], row["since"])
