"""What the audit holds, for people."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.operate.find import expect_tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """`actor`: as the tool was told; `written_by`: the role that the database saw, None for rows older than
    that. `link`: its place in the chain."""

    audit_id: int
    at: datetime
    actor: str
    action: str
    tenant_id: str | None
    saga_id: UUID | None
    reason: str
    before: Any
    after: Any
    written_by: str | None
    link: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which rows. `since`: not before."""

    tenant_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None


_LIST = """
SELECT a.audit_id, a.at, a.actor, a.action, a.tenant_id, a.saga_id, a.reason, a.before::text, a.after::text,
    a.written_by, c.link
FROM audit a LEFT JOIN audit_chain c USING (audit_id)
WHERE ($1::text IS NULL OR a.tenant_id = $1) AND ($2::text IS NULL OR a.actor = $2)
    AND ($3::text IS NULL OR a.action = $3) AND ($4::timestamptz IS NULL OR a.at >= $4)
ORDER BY a.audit_id DESC LIMIT $5
"""


async def audit_rows(database: Database, sought: Sought, *, limit: int = 50) -> list[AuditRow]:
    """The newest first. Raises NotFound for an unknown tenant of which the audit knows nothing."""
    which = sought.tenant_id, sought.actor, sought.action, sought.since
    async with database.transaction(name="operate.audit_rows") as connection:
        found = await connection.fetch(_LIST, *which, limit)
        if not found:
            await expect_tenant(connection, sought.tenant_id)
    return [AuditRow(**{**row, **{side: _told(row[side]) for side in ("before", "after")}}) for row in found]


def _told(side: str | None) -> Any:
    return None if side is None else json.loads(side)
