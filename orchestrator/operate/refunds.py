"""Refunds that operators ask for: what one would do, and the trace it leaves before it is asked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.process.postgres import Database, set_tenant
from contracts.process.refund_window import refund_window
from contracts.requests import RefundRequested
from orchestrator.operate import audit
from orchestrator.operate.find import expect_tenant, find

_BILLED = """
SELECT l.leads, l.unit_price, l.currency, l.billing, l.occurred_at, now() - l.occurred_at AS age,
    now() < period_end(t.billing_anchor, l.period_start) AS period_open, i.state AS told, (
        SELECT coalesce(-sum(r.leads), 0)::int FROM ledger r
        WHERE r.tenant_id = $1 AND r.original_id = l.ledger_id) AS refunded, (
        SELECT count(*)::int FROM leads d
        WHERE d.tenant_id = $1 AND d.saga_id = l.saga_id AND d.visible_at IS NOT NULL
            AND d.withdrawn_at IS NULL) AS kept
FROM ledger l JOIN tenants t USING (tenant_id)
LEFT JOIN carriers c USING (tenant_id, ledger_id) LEFT JOIN intents i USING (tenant_id, intent_id)
WHERE l.tenant_id = $1 AND l.saga_id = $2 AND l.kind = 'usage'
"""

_PERMIT = """
INSERT INTO refund_permits (tenant_id, refund_id, actor, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeseenRefund:
    """What a refund would do. `price`: what the leads were sold for, without tax; `refused`: why it would not
    be done, empty if it would."""

    request_id: str
    delivered_at: datetime | None = None
    billed: int = 0
    refunded_before: int = 0
    leads: int = 0
    withdrawn: int = 0
    quota_returned: int = 0
    price: str = ""
    instrument: str = ""
    refused: str = ""


async def foresee_refund(
    database: Database, asked: RefundRequested, *, beyond_window: bool = False
) -> ForeseenRefund:
    """Changes nothing, and asks nobody outside of the database. Raises NotFound."""
    async with database.transaction(name="operate.foresee_refund") as connection:
        saga = await find(connection, asked.request_id, asked.tenant_id, kinds=["lead"])
        await set_tenant(connection, asked.tenant_id)
        billed = await connection.fetchrow(_BILLED, asked.tenant_id, saga.saga_id)
    if billed is None:
        reason = f"nothing was billed for it (it is {saga.status}): asking for a refund would cancel it"
        return ForeseenRefund(request_id=saga.request_id, refused=reason)
    left = billed["leads"] - billed["refunded"]
    leads = left if asked.leads is None else asked.leads
    return ForeseenRefund(
        request_id=saga.request_id,
        delivered_at=billed["occurred_at"],
        billed=billed["leads"],
        refunded_before=billed["refunded"],
        leads=leads,
        withdrawn=min(leads, billed["kept"]) if asked.withdraw_leads else 0,
        quota_returned=leads if asked.return_quota else 0,
        price=f"{leads * billed['unit_price']:.2f} {billed['currency']}",
        instrument=_instrument(billed),
        refused=_refused(billed, leads, left, beyond_window),
    )


def _refused(billed: Any, leads: int, left: int, beyond_window: bool) -> str:
    if leads > left or left == 0:
        return f"{billed['leads']} leads were billed and {billed['refunded']} of them are refunded already"
    if billed["age"] > refund_window() and not beyond_window:
        days = refund_window().days
        return f"delivered {billed['age'].days} days ago, and {days} are allowed: only with --beyond-window"
    return ""


def _instrument(billed: Any) -> str:
    if billed["billing"] == "manual":
        return "none: the tenant is billed by hand"
    if billed["told"] is None:
        return "nets out: Stripe has not been told of the usage yet"
    if billed["told"] == "rejected":
        return "held: Stripe refused the usage itself"
    if billed["period_open"]:
        return "nets out with the next report, unless an invoice was made early"
    return "negative event, credit note or balance credit: chosen when Stripe's invoice has been read"


async def record_refund(
    database: Database, asked: RefundRequested, *, actor: str, beyond_window: bool
) -> None:
    """Before it is asked for over the broker: who asks, and why; with `beyond_window` also the leave to come
    late. Raises NotFound."""
    async with database.transaction(name="operate.refund") as connection:
        await expect_tenant(connection, asked.tenant_id)
        await set_tenant(connection, asked.tenant_id)
        if beyond_window:
            await connection.execute(_PERMIT, asked.tenant_id, asked.refund_id, actor, asked.reason)
        await audit.record(
            connection,
            actor=actor,
            action="refund",
            tenant_id=asked.tenant_id,
            reason=asked.reason,
            after=asked.model_dump(mode="json", exclude={"v", "type", "tenant_id", "reason", "requested_by"})
            | {"beyond_window": beyond_window},
        )
