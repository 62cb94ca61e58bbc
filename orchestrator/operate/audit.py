"""The audit: who changed or looked at what, and why. Written in the transaction that it speaks of."""

from typing import Any
from uuid import UUID

from orchestrator.operate.plain import dumps

_RECORD = """
INSERT INTO audit (actor, action, tenant_id, saga_id, reason, before, after)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)
"""


async def record(  # noqa: PLR0913 - the columns of the table
    connection: Any,
    *,
    actor: str,
    action: str,
    tenant_id: str | None = None,
    saga_id: UUID | None = None,
    reason: str = "",
    before: Any = None,
    after: Any = None,
) -> None:
    await connection.execute(
        _RECORD,
        actor,
        action,
        tenant_id,
        saga_id,
        reason,
        None if before is None else dumps(before),
        None if after is None else dumps(after),
    )
