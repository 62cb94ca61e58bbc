"""What was found is kept: each difference once for as long as it lasts, with its first and its last sight."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from uuid_utils.compat import uuid7

from steps.billing.drift import Finding, Kind
from steps.runtime.step import Connection

OF_STRIPE: frozenset[Kind] = frozenset({"counted", "invoiced", "charged"})
"""Kinds that only a look at Stripe can find, or find gone."""

_SEEN = """
INSERT INTO findings AS f (tenant_id, finding_id, kind, subject, expected, found, reason, sagas)
SELECT $1, finding_id, kind, subject, expected, found, reason, sagas
FROM jsonb_to_recordset($2::text::jsonb) AS seen (finding_id uuid, kind text, subject text, expected bigint,
    found bigint, reason text, sagas uuid[])
ON CONFLICT (tenant_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE
SET expected = excluded.expected, found = excluded.found, reason = excluded.reason, last_seen_at = now(),
    sagas = CASE WHEN cardinality(excluded.sagas) > 0 THEN excluded.sagas ELSE f.sagas END
RETURNING f.finding_id, f.kind, f.subject
"""

_GONE = """
UPDATE findings SET resolved_at = now()
WHERE tenant_id = $1 AND resolved_at IS NULL AND last_seen_at < now() AND kind <> ALL($2::text[])
RETURNING kind, subject
"""

_OPEN = "SELECT count(*)::int FROM findings WHERE tenant_id = $1 AND resolved_at IS NULL"


async def keep(
    connection: Connection, tenant_id: str, found: Sequence[Finding], unseen: Collection[Kind] = ()
) -> tuple[list[Finding], int]:
    """Of kinds in `unseen` nothing is taken for gone. Returns those that are new, and how many are open."""
    ids = {(each.kind, each.subject): uuid7() for each in found}
    rows = await connection.fetch(_SEEN, tenant_id, json.dumps([_row(each, ids) for each in found]))
    made = {(row["kind"], row["subject"]) for row in rows if row["finding_id"] in set(ids.values())}
    await connection.execute(_GONE, tenant_id, list(unseen))
    still: int = await connection.fetchval(_OPEN, tenant_id)
    return [each for each in found if (each.kind, each.subject) in made], still


def _row(finding: Finding, ids: dict[tuple[Kind, str], Any]) -> dict[str, Any]:
    return {
        "finding_id": str(ids[finding.kind, finding.subject]),
        "kind": finding.kind,
        "subject": finding.subject,
        "expected": finding.expected,
        "found": finding.found,
        "reason": finding.reason,
        "sagas": [str(saga_id) for saga_id in finding.sagas],
    }
