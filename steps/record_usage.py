"""The pivot: in one transaction the drafts become visible, are counted, enter the ledger and settle the hold.

Billed is what was delivered: the count is taken here, from the rows that this transaction makes visible. They
are never more than the request asked for; drafts beyond that, the worst ones, are discarded.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from contracts.events import LEADS_PER_EVENT, Event, Lead, LeadsReady
from contracts.facts import UsageRecorded
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected
from contracts.requests import LeadRequested
from steps.billing.due import note_usage
from steps.billing.settings import flush_pace
from steps.runtime.step import Batch, Connection, Step

_SHOW = """
WITH ranked AS (
    SELECT lead_id, asked.leads AS asked,
           row_number() OVER (PARTITION BY l.saga_id ORDER BY l.score DESC, l.lead_id) AS place
    FROM leads l JOIN unnest($2::uuid[], $3::int[]) AS asked (saga_id, leads) USING (saga_id)
    WHERE l.tenant_id = $1 AND l.visible_at IS NULL
), discarded AS (
    DELETE FROM leads l USING ranked r
    WHERE l.tenant_id = $1 AND l.lead_id = r.lead_id AND r.place > r.asked
), shown AS (
    UPDATE leads l SET visible_at = now() FROM ranked r
    WHERE l.tenant_id = $1 AND l.lead_id = r.lead_id AND r.place <= r.asked
    RETURNING l.saga_id
)
SELECT saga_id, count(*)::int AS leads FROM shown GROUP BY saga_id
"""

# At the price with which the billing period began: Stripe has one price for the whole of it.
_COUNT = """
INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency, event_name,
                    period_start, billing)
SELECT $1, u.ledger_id, u.saga_id, u.request_id, 'usage', u.leads, p.price_per_lead, p.currency, p.event_name,
       t.start, p.billing
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::int[]) AS u (ledger_id, saga_id, request_id, leads),
     (SELECT plan_id, period_start(billing_anchor, now()) AS start FROM tenants WHERE tenant_id = $1) AS t,
     LATERAL terms_at(t.plan_id, t.start) AS p
"""

_SETTLE = """
WITH settled AS (
    UPDATE holds h SET state = 'settled' FROM unnest($2::uuid[], $3::int[]) AS u (saga_id, leads)
    WHERE h.tenant_id = $1 AND h.saga_id = u.saga_id AND h.state = 'held'
    RETURNING h.period_start, h.leads AS held, u.leads AS used
), summed AS (
    SELECT period_start, sum(held)::int AS held, sum(used)::int AS used FROM settled GROUP BY period_start
)
UPDATE quota_periods q SET held = q.held - summed.held, used = q.used + summed.used
FROM summed WHERE q.tenant_id = $1 AND q.period_start = summed.period_start
"""

_DELIVERED = """
SELECT lead_id, saga_id, company, website, contact_name, contact_title, email, country, reason, score,
       visible_at
FROM leads
WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[]) AND visible_at IS NOT NULL AND withdrawn_at IS NULL
ORDER BY saga_id, score DESC, lead_id
"""


async def record_usage(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    tenant_id = commands[0].tenant_id
    rows = await connection.fetch(
        _SHOW,
        tenant_id,
        [command.saga_id for command in commands],
        [command.asked(LeadRequested).leads for command in commands],
    )
    shown = {row["saga_id"]: row["leads"] for row in rows}
    counted = [command for command in commands if shown.get(command.saga_id)]
    ledger_ids = {command.saga_id: uuid7() for command in counted}
    if counted:
        ids = [command.saga_id for command in counted]
        leads = [shown[saga_id] for saga_id in ids]
        await connection.execute(
            _COUNT,
            tenant_id,
            [ledger_ids[saga_id] for saga_id in ids],
            ids,
            [command.request_id for command in counted],
            leads,
        )
        await connection.execute(_SETTLE, tenant_id, ids, leads)
        await note_usage(connection, tenant_id, sum(leads))
    return [_outcome(command, shown, ledger_ids) for command in commands]


def _outcome(command: Command, shown: dict[UUID, int], ledger_ids: dict[UUID, UUID]) -> Outcome:
    leads = shown.get(command.saga_id, 0)
    if leads == 0:
        return Rejected(reason="no valid lead was found, so nothing is charged", error="NoLeads")
    fact = UsageRecorded(leads=leads, ledger_id=ledger_ids[command.saga_id])
    return Done(facts=fact.model_dump(mode="json"))


async def leads_ready(connection: Connection, commands: Sequence[Command]) -> list[Event]:
    """The delivery. Its ids derive from the saga, so that a repeated delivery is recognised."""
    by_saga: dict[UUID, list[Any]] = defaultdict(list)
    ids = [command.saga_id for command in commands]
    for row in await connection.fetch(_DELIVERED, commands[0].tenant_id, ids):
        by_saga[row["saga_id"]].append(row)
    return [event for command in commands for event in _parts(command, by_saga[command.saga_id])]


def _parts(command: Command, rows: list[Any]) -> list[Event]:
    starts = range(0, len(rows), LEADS_PER_EVENT)
    return [
        LeadsReady(
            event_id=uuid5(command.saga_id, f"leads_ready {part}"),
            tenant_id=command.tenant_id,
            request_id=command.request_id,
            saga=command.saga,
            saga_id=command.saga_id,
            at=rows[start]["visible_at"],
            part=part,
            parts=len(starts),
            total=len(rows),
            leads=[Lead.model_validate(dict(row)) for row in rows[start : start + LEADS_PER_EVENT]],
        )
        for part, start in enumerate(starts, 1)
    ]


STEP = Step(name="record_usage", do=Batch(run=record_usage, announce=leads_ready), settings=(flush_pace,))
