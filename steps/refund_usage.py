"""Take back leads of one delivered request in the ledger: append-only, bounded by what was billed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from uuid_utils.compat import uuid7

from contracts.errors import StepRejected
from contracts.facts import UsageRefunded
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.process.refund_window import refund_window
from contracts.requests import RefundRequested
from steps.billing.due import note_usage
from steps.billing.settings import flush_pace
from steps.runtime.step import Batch, Connection, Step

_ORIGINAL = """
SELECT ledger_id, saga_id, leads, unit_price, currency, event_name, period_start, now() - occurred_at AS age
FROM ledger WHERE tenant_id = $1 AND request_id = $2 AND kind = 'usage' FOR NO KEY UPDATE
"""

_PERMITTED = "SELECT true FROM refund_permits WHERE tenant_id = $1 AND refund_id = $2"

_TAKEN_BACK = "SELECT coalesce(-sum(leads), 0)::int FROM ledger WHERE tenant_id = $1 AND original_id = $2"

_REVERSE = """
INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, original_id, unit_price, currency,
                    event_name, period_start, actor, reason)
VALUES ($1, $2, $3, $4, 'reversal', $5, $6, $7, $8, $9, $10, $11, $12)
"""

_RETURN_QUOTA = """
UPDATE quota_periods q SET used = greatest(q.used - $3, 0) FROM holds h
WHERE h.tenant_id = $1 AND h.saga_id = $2 AND h.state = 'settled'
  AND q.tenant_id = $1 AND q.period_start = h.period_start
"""
"""To the period that it was reserved from, which may be an earlier one than that of the usage."""

_WITHDRAW = """
WITH worst AS (
    SELECT lead_id FROM leads
    WHERE tenant_id = $1 AND saga_id = $2 AND visible_at IS NOT NULL AND withdrawn_at IS NULL
    ORDER BY score, lead_id DESC LIMIT $3
), withdrawn AS (
    UPDATE leads l SET withdrawn_at = now() FROM worst
    WHERE l.tenant_id = $1 AND l.lead_id = worst.lead_id RETURNING l.lead_id
)
SELECT count(*)::int FROM withdrawn
"""


async def refund_usage(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    """Refunds are few: one by one, each behind the lock on the usage that it takes back."""
    return [await _refund(connection, command) for command in commands]


async def _refund(connection: Connection, command: Command) -> Outcome:
    asked, tenant_id = command.asked(RefundRequested), command.tenant_id
    original = await connection.fetchrow(_ORIGINAL, tenant_id, asked.request_id)
    if original is None:
        raise StepRejected(f"nothing was billed for request {asked.request_id}", error="NothingBilled")
    await _in_time(connection, original["age"], asked, tenant_id)
    leads = await _bounded(connection, tenant_id, original, asked)
    ledger_id = uuid7()
    await connection.execute(
        _REVERSE,
        tenant_id,
        ledger_id,
        command.saga_id,
        asked.request_id,
        -leads,
        original["ledger_id"],
        original["unit_price"],
        original["currency"],
        original["event_name"],
        original["period_start"],
        asked.requested_by,
        asked.reason,
    )
    fact = UsageRefunded(leads=leads, ledger_id=ledger_id, original_id=original["ledger_id"])
    of_request = (tenant_id, original["saga_id"], leads)
    if asked.return_quota:
        await connection.execute(_RETURN_QUOTA, *of_request)
        fact = fact.model_copy(update={"quota_returned": leads})
    if asked.withdraw_leads:
        withdrawn = await connection.fetchval(_WITHDRAW, *of_request)
        fact = fact.model_copy(update={"withdrawn": withdrawn})
    await note_usage(connection, tenant_id, leads)
    return Done(facts=fact.model_dump(mode="json"))


async def _in_time(connection: Connection, age: timedelta, asked: RefundRequested, tenant_id: str) -> None:
    if age <= refund_window() or await connection.fetchval(_PERMITTED, tenant_id, asked.refund_id):
        return
    raise StepRejected(
        f"the leads were delivered {age.days} days ago, and a refund can be asked for "
        f"{refund_window().days} days; an operator may let it through",
        error="TooLate",
    )


async def _bounded(connection: Connection, tenant_id: str, original: Any, asked: RefundRequested) -> int:
    taken_back = await connection.fetchval(_TAKEN_BACK, tenant_id, original["ledger_id"])
    left = original["leads"] - taken_back
    leads = left if asked.leads is None else asked.leads
    if leads > left or left == 0:
        raise StepRejected(
            f"{leads or original['leads']} leads cannot be refunded: {original['leads']} were billed and "
            f"{taken_back} of them are refunded already",
            error="MoreThanBilled",
        )
    return leads


STEP = Step(name="refund_usage", do=Batch(run=refund_usage), settings=(flush_pace, refund_window))
