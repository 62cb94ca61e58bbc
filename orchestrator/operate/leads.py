"""The leads that were delivered for a request. Whoever looks at them leaves a trace."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.process.postgres import Database, set_tenant
from orchestrator.operate import audit
from orchestrator.operate.find import find
from orchestrator.operate.plain import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadLine:
    lead_id: UUID
    company: str
    website: str
    contact_name: str
    contact_title: str
    email: str
    country: str
    reason: str
    score: int
    visible_at: datetime
    withdrawn_at: datetime | None
    """A refund took it back: it is not delivered again."""


_LEADS = """
SELECT lead_id, company, website, contact_name, contact_title, email, country, reason, score, visible_at,
    withdrawn_at
FROM leads WHERE tenant_id = $1 AND saga_id = $2 AND visible_at IS NOT NULL ORDER BY score DESC, part, lead_id
"""


async def leads_of(
    database: Database, named: str, tenant_id: str, *, actor: str, reason: str = ""
) -> list[LeadLine]:
    """Delivered leads, drafts never. The look is audited in the same transaction. Raises NotFound."""
    async with database.transaction(name="operate.leads") as connection:
        standing = await find(connection, named, tenant_id, kinds=["lead"])
        await set_tenant(connection, tenant_id)
        found = rows(LeadLine, await connection.fetch(_LEADS, tenant_id, standing.saga_id))
        await audit.record(
            connection,
            actor=actor,
            action="look at leads",
            tenant_id=tenant_id,
            saga_id=standing.saga_id,
            reason=reason,
            after={"leads": len(found)},
        )
    return found
