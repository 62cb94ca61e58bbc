"""Do ledger, sends and Stripe agree? Asked of the process that owns Stripe, which keeps what it found.

The question is a due time: it is moved to now, and the answer is there once a comparison that began later has
been kept.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.operate.errors import NotFound, TimedOut
from orchestrator.operate.plain import rows

LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A meter and a billing period, in leads: `ledger` is told + under_way + refused + by_hand + credited,
    and Stripe counts what it was told. Money in the smallest unit of `currency`, once there is an invoice."""

    tenant_id: str
    event_name: str
    period_start: datetime
    compared_at: datetime
    ledger: int
    told: int
    under_way: int
    refused: int
    by_hand: int
    credited: int
    counted: int | None
    behind: bool
    invoiced: int | None
    charged: int | None
    owed: int | None
    currency: str | None
    unread: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """In leads; of kind `charged` in money's smallest unit."""

    tenant_id: str
    kind: str
    subject: str
    expected: int
    found: int
    reason: str
    sagas: list[UUID]
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """`clean`: everything could be compared, and nothing differs. What is `behind` at Stripe is not compared
    to the end, and differs from nothing yet."""

    pages: list[Page]
    findings: list[Finding]

    @property
    def clean(self) -> bool:
        return not self.findings and all(page.unread is None for page in self.pages)


_TENANTS = "SELECT tenant_id FROM tenants WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY 1"

_ASK = """
INSERT INTO work_due (kind, tenant_id, due_at)
SELECT 'reconcile', tenant_id, now() FROM unnest($1::text[]) AS tenant_id
ON CONFLICT (kind, tenant_id) DO UPDATE SET due_at = now()
"""

# `since` is when the last one that could compare everything began.
_UNANSWERED = """
SELECT tenant_id FROM work_due
WHERE kind = 'reconcile' AND tenant_id = ANY($1::text[]) AND since <= $2 ORDER BY 1
"""

_PAGES = """
SELECT tenant_id, event_name, period_start, compared_at, ledger, told, under_way, refused, by_hand, credited,
    counted, behind, invoiced, charged, owed, currency, unread
FROM reconciliations WHERE tenant_id = $1 ORDER BY period_start, event_name
"""

_FAILED = """
SELECT true FROM reconciliations WHERE tenant_id = $1 AND compared_at >= $2 AND unread IS NOT NULL LIMIT 1
"""

_FINDINGS = """
SELECT tenant_id, kind, subject, expected, found, reason, sagas, first_seen_at, last_seen_at
FROM findings WHERE tenant_id = $1 AND resolved_at IS NULL ORDER BY first_seen_at, kind, subject
"""


async def reconcile(database: Database, tenant_id: str | None, *, wait: float) -> Reconciled:
    """Of all tenants, or of one. Raises NotFound for an unknown tenant, and TimedOut
    when the process that owns Stripe has not answered in time."""
    asked, tenants = await _ask(database, tenant_id)
    left = tenants
    try:
        async with asyncio.timeout(wait):
            while True:
                left = await _unanswered(database, tenants, asked)
                if not left:
                    return await _kept(database, tenants)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise TimedOut(
            f"{', '.join(left[:5])}: not reconciled in {wait:g} s: does report_to_stripe run?"
        ) from None


async def _ask(database: Database, tenant_id: str | None) -> tuple[datetime, list[str]]:
    async with database.transaction(name="operate.ask_reconcile") as connection:
        tenants = [row["tenant_id"] for row in await connection.fetch(_TENANTS, tenant_id)]
        if tenant_id is not None and not tenants:
            raise NotFound(f"there is no tenant {tenant_id}")
        await connection.execute(_ASK, tenants)
        asked: datetime = await connection.fetchval("SELECT now()")
    return asked, tenants


async def _unanswered(database: Database, tenants: Sequence[str], asked: datetime) -> list[str]:
    """An answer that Stripe could not be read is one, too."""
    async with database.transaction(name="operate.reconcile_waits") as connection:
        left = [row["tenant_id"] for row in await connection.fetch(_UNANSWERED, list(tenants), asked)]
    for tenant_id in left:
        async with database.transaction(tenant_id, name="operate.reconcile_failed") as connection:
            if not await connection.fetchval(_FAILED, tenant_id, asked):
                return left
    return []


async def _kept(database: Database, tenants: Sequence[str]) -> Reconciled:
    pages, findings = list[Page](), list[Finding]()
    for tenant_id in tenants:
        async with database.transaction(tenant_id, name="operate.reconciled") as connection:
            pages += rows(Page, await connection.fetch(_PAGES, tenant_id))
            findings += rows(Finding, await connection.fetch(_FINDINGS, tenant_id))
    return Reconciled(pages=pages, findings=findings)
