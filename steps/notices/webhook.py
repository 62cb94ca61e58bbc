"""A tenant's webhook as it is stored: sealed, or in the clear where the release before wrote it."""

import asyncio
from dataclasses import dataclass, field

from contracts.process.postgres import AWAY, Database
from contracts.process.sealing import Sealed, keys, refuse_unknown, webhook_of
from contracts.process.waiting import until_answers
from steps.runtime.step import Connection

_KEY_IDS = "SELECT key_id FROM secret_keys ORDER BY created_at, key_id"

_WEBHOOK = """
SELECT url, sealed, sealed_by FROM discord_webhooks WHERE tenant_id = $1 AND disabled_at IS NULL
"""

_DISABLE = """
WITH disabled AS (
    UPDATE discord_webhooks SET disabled_at = now(), disabled_reason = $2
    WHERE tenant_id = $1 AND disabled_at IS NULL
        AND url IS NOT DISTINCT FROM $3 AND sealed IS NOT DISTINCT FROM $4
    RETURNING tenant_id, disabled_reason
)
INSERT INTO audit (actor, action, tenant_id, reason, before, after)
SELECT 'notify_discord', 'disable webhook', tenant_id, disabled_reason,
    '{"disabled": false}', '{"disabled": true}'
FROM disabled
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """`url` is a secret: never log it. `stored`: what stands in its row."""

    url: str = field(repr=False)
    stored: tuple[str | None, bytes | None] = field(repr=False)


async def expect_keys(database: Database, stopping: asyncio.Event) -> None:
    """Raises BadSettings when something is sealed with a key that is not set here, and Stopped."""

    async def needed() -> list[str]:
        async with database.transaction(name="notices.keys") as connection:
            return [row["key_id"] for row in await connection.fetch(_KEY_IDS)]

    refuse_unknown(await until_answers(needed, "Postgres", AWAY, stopping), keys())


async def webhook(connection: Connection, tenant_id: str) -> Webhook | None:
    """None when the tenant has none, or it is disabled. Raises CannotOpen."""
    row = await connection.fetchrow(_WEBHOOK, tenant_id)
    if row is None:
        return None
    stored = row["url"], row["sealed"]
    if row["url"] is not None:
        return Webhook(row["url"], stored)
    sealed = Sealed(row["sealed_by"], row["sealed"])
    return Webhook(keys().open(sealed, webhook_of(tenant_id)), stored)


async def disable(connection: Connection, tenant_id: str, it: Webhook, reason: str) -> None:
    """Audited. Unless it was replaced, or sealed anew, meanwhile."""
    await connection.execute(_DISABLE, tenant_id, reason, *it.stored)
