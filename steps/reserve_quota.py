"""Promise N leads of a tenant's quota to a saga, and give the promise back."""

from collections.abc import Sequence
from typing import Any

from contracts.facts import QuotaReserved
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected
from contracts.requests import LeadRequested
from steps.runtime.step import Batch, Connection, Step

_TENANT = """
SELECT t.status, p.monthly_quota, p.overage, period_start(t.billing_anchor, now()) AS period_start,
       period_end(t.billing_anchor, now()) AS period_end
FROM tenants t, LATERAL terms_at(t.plan_id, now()) AS p WHERE t.tenant_id = $1
"""

_OPEN_PERIOD = """
INSERT INTO quota_periods (tenant_id, period_start) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""

_LOCK_PERIOD = """
SELECT used + held AS taken FROM quota_periods WHERE tenant_id = $1 AND period_start = $2 FOR NO KEY UPDATE
"""

_HOLD = """
INSERT INTO holds (tenant_id, saga_id, period_start, leads)
SELECT $1, saga_id, $2, leads FROM unnest($3::uuid[], $4::int[]) AS wanted (saga_id, leads)
"""

_TAKE = "UPDATE quota_periods SET held = held + $3 WHERE tenant_id = $1 AND period_start = $2"

_RELEASE = """
WITH released AS (
    UPDATE holds SET state = 'released'
    WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[]) AND state = 'held'
    RETURNING period_start, leads
), summed AS (SELECT period_start, sum(leads)::int AS leads FROM released GROUP BY period_start)
UPDATE quota_periods q SET held = q.held - summed.leads
FROM summed WHERE q.tenant_id = $1 AND q.period_start = summed.period_start
"""


async def reserve_quota(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    """First come, first served, within what the period's quota leaves. Reservations of one tenant queue up
    for the lock on its period."""
    tenant_id = commands[0].tenant_id
    tenant = await connection.fetchrow(_TENANT, tenant_id)
    if tenant is None or tenant["status"] != "active":
        reason = "unknown tenant" if tenant is None else "the tenant is suspended"
        return [Rejected(reason=reason, error="NoTenant") for _ in commands]
    start = tenant["period_start"]
    await connection.execute(_OPEN_PERIOD, tenant_id, start)
    taken = await connection.fetchval(_LOCK_PERIOD, tenant_id, start)
    free = None if tenant["overage"] else tenant["monthly_quota"] - taken
    granted, outcomes = _grant(commands, free, tenant)
    if granted:
        ids, leads = [saga_id for saga_id, _ in granted], [count for _, count in granted]
        await connection.execute(_HOLD, tenant_id, start, ids, leads)
        await connection.execute(_TAKE, tenant_id, start, sum(leads))
    return outcomes


def _grant(
    commands: Sequence[Command], free: int | None, tenant: Any
) -> tuple[list[tuple[Any, int]], list[Outcome]]:
    granted, outcomes = [], list[Outcome]()
    for command in commands:
        wanted = command.asked(LeadRequested).leads
        if free is not None and wanted > free:
            reason = (
                f"over quota: {wanted} leads were asked for, {max(free, 0)} of {tenant['monthly_quota']} "
                f"are left until {tenant['period_end']:%Y-%m-%d}"
            )
            outcomes.append(Rejected(reason=reason, error="OverQuota"))
            continue
        free = None if free is None else free - wanted
        granted.append((command.saga_id, wanted))
        fact = QuotaReserved(
            leads=wanted, period_start=tenant["period_start"], period_end=tenant["period_end"]
        )
        outcomes.append(Done(facts=fact.model_dump(mode="json")))
    return granted, outcomes


async def release_quota(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    """Happy to find nothing: the reservation may never have happened."""
    ids = [command.saga_id for command in commands]
    await connection.execute(_RELEASE, commands[0].tenant_id, ids)
    return [Done() for _ in commands]


STEP = Step(
    name="reserve_quota",
    do=Batch(run=reserve_quota),
    undo_name="release_quota",
    undo=Batch(run=release_quota),
)
