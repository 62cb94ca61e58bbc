"""Drafts in the database, and how far they are. A draft belongs to nobody until usage is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.messages import Command
from steps.leads.parse import Lead
from steps.runtime.step import Connection

_COMPANIES = """
SELECT company FROM leads WHERE tenant_id = $1 AND saga_id = $2 AND visible_at IS NULL ORDER BY part, lead_id
"""

_PROGRESS = """
SELECT t.model_calls AS side_by_side,
       count(c.call_id) AS calls,
       coalesce(sum(c.invalid), 0) AS invalid,
       coalesce(sum(c.duplicates), 0) AS duplicates,
       greatest(coalesce(max(c.part), 0), (
           SELECT coalesce(max(part), 0) FROM leads WHERE tenant_id = $1 AND saga_id = $2)) AS last_part
FROM tenants t LEFT JOIN model_calls c ON c.tenant_id = t.tenant_id AND c.saga_id = $2
WHERE t.tenant_id = $1
GROUP BY t.model_calls
"""

_KNOWN = "SELECT dedupe_key FROM leads WHERE tenant_id = $1 AND saga_id = $2"

_STORE = """
INSERT INTO leads (tenant_id, saga_id, part, lead_id, dedupe_key, company, website, contact_name,
                   contact_title, email, country, reason, score)
SELECT $1, $2, $3, * FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                                 $10::text[], $11::text[], $12::text[], $13::int[])
"""

_DISCARD = "DELETE FROM leads WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[]) AND visible_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a saga is, from whatever attempts it took."""

    companies: Sequence[str]
    """One for each draft."""
    calls: int
    """Those that nobody saw the end of are counted too."""
    invalid: int
    duplicates: int
    next_part: int
    side_by_side: int
    """Calls that its tenant may have under way."""


async def progress_of(connection: Connection, command: Command) -> Progress:
    key = (command.tenant_id, command.saga_id)
    companies = [row["company"] for row in await connection.fetch(_COMPANIES, *key)]
    row = await connection.fetchrow(_PROGRESS, *key)
    return Progress(
        companies=companies,
        calls=row["calls"],
        invalid=row["invalid"],
        duplicates=row["duplicates"],
        next_part=row["last_part"] + 1,
        side_by_side=row["side_by_side"],
    )


@dataclass(frozen=True, slots=True)
class Stored:
    companies: list[str]
    """One for each new draft."""
    duplicates: int
    """The saga had these already; they are left as they were."""


async def store(
    connection: Connection, command: Command, part: int, leads: Sequence[Lead], *, wanted: int
) -> Stored:
    """Never more drafts of a saga than the `wanted` leads of its request: what is over is dropped. Only under
    the lock of the saga's effects row, which keeps others from storing between the count and the insert."""
    known = {row["dedupe_key"] for row in await connection.fetch(_KNOWN, command.tenant_id, command.saga_id)}
    new = [lead for lead in leads if lead.dedupe_key not in known]
    kept = new[: max(0, wanted - len(known))]
    if kept:
        await _insert(connection, command, part, kept)
    return Stored([lead.company for lead in kept], len(leads) - len(new))


async def _insert(connection: Connection, command: Command, part: int, leads: Sequence[Lead]) -> None:
    await connection.execute(
        _STORE,
        command.tenant_id,
        command.saga_id,
        part,
        [uuid7() for _ in leads],
        [lead.dedupe_key for lead in leads],
        [lead.company for lead in leads],
        [lead.website for lead in leads],
        [lead.contact_name for lead in leads],
        [lead.contact_title for lead in leads],
        [lead.email for lead in leads],
        [lead.country for lead in leads],
        [lead.reason for lead in leads],
        [lead.score for lead in leads],
    )


async def discard(connection: Connection, tenant_id: str, saga_ids: Sequence[UUID]) -> None:
    """Happy to find nothing; leads that are visible were counted and stay."""
    await connection.execute(_DISCARD, tenant_id, list(saga_ids))
