"""What became of a tenant, for the audit: in the name of who asked for it, with what it speaks of."""

import json
from collections.abc import Mapping
from typing import Any

from contracts.messages import Command
from contracts.requests import TenantRequested
from steps.runtime.step import Connection

_RECORD = """
INSERT INTO audit (actor, action, tenant_id, saga_id, reason, before, after)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)
"""


async def record(
    connection: Connection,
    command: Command,
    action: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """To be called while acting for the new tenant."""
    asked = command.asked(TenantRequested)
    await connection.execute(
        _RECORD,
        asked.requested_by,
        action,
        asked.new_tenant,
        command.saga_id,
        f"request {command.request_id}",
        None if before is None else json.dumps(before),
        None if after is None else json.dumps(after),
    )
