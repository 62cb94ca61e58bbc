"""Tenants whose usage Stripe refuses for a reason of theirs: told until it takes usage of them again."""

from uuid import UUID

from contracts.errors import StepRejected
from contracts.process import logs
from steps.runtime.step import Connection

log = logs.get("flush")

OF_THE_ACCOUNT = frozenset({"archived_meter", "no_meter"})
"""Stripe's codes for what is wrong with our own set-up: it meets all tenants of a plan alike."""

_FLAG = """
INSERT INTO billing_flags AS f (tenant_id, intent_id, reason) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET intent_id = excluded.intent_id, reason = excluded.reason
"""

_CLEAR = "DELETE FROM billing_flags WHERE tenant_id = $1"


async def raise_flag(connection: Connection, tenant_id: str, intent_id: UUID, error: StepRejected) -> None:
    """To be called where the refusal is written down. `flagged_at` stays that of the first one in a row."""
    if error.error not in OF_THE_ACCOUNT:
        await connection.execute(_FLAG, tenant_id, intent_id, f"{error.error}: {error.reason}"[:500])


async def clear_flag(connection: Connection, tenant_id: str) -> None:
    """Stripe has taken usage of the tenant."""
    await connection.execute(_CLEAR, tenant_id)
