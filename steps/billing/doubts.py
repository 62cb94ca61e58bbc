"""Sends that Stripe may have, and whose identifiers it may have forgotten. Its own totals settle them.

Stripe tells no single events, only a total for a meter, a customer and a span of time. For the billing
period of a doubtful send that is either what we know to be there, and the send: it landed. Or it is only what
we know to be there: it did not. Totals lag behind, so absence counts when it was seen twice, 24 h apart. Then
the send is `missing`, and one with a new identifier carries its rows. Every other total is held, told, and
read again.

A meter has one send open, so nothing of ours is added to its total meanwhile.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import uuid_utils.compat

from contracts.errors import StepError, StepRejected
from contracts.process import logs
from contracts.process.postgres import Database
from steps.billing import settle, turns
from steps.billing.intents import identifier_of
from steps.billing.ports import UsageMeter
from steps.billing.settings import Pace
from steps.runtime import observe
from steps.runtime.step import Connection

log = logs.get("flush")

ABSENT_HOURS = 24
"""Between two totals that both show absence. The database refuses `missing` after less."""

READ_AGAIN_HOURS = 1
"""After a total that nobody understands."""

Verdict = Literal["landed", "absent", "missing", "unexplained"]

# What is confirmed is added up over the very span that is asked for: whole minutes, which may reach into the
# periods next to this one.
_BEGIN = """
WITH doubtful AS (
    UPDATE intents i SET retry_at = now() + make_interval(secs => $2) FROM tenants t
    WHERE i.tenant_id = $1 AND t.tenant_id = $1 AND i.state = 'ambiguous'
        AND coalesce(i.retry_at, now()) <= now()
    RETURNING i.intent_id, i.customer, i.event_name, i.value, i.absence_observed_at,
        date_trunc('minute', i.period_start) AS start, date_trunc('minute',
            period_end(t.billing_anchor, i.period_start) + interval '59.999999 seconds') AS "end",
        coalesce(now() - i.absence_observed_at >= make_interval(hours => $3), false) AS long_absent
)
SELECT d.*, (
    SELECT coalesce(sum(c.value), 0)::int FROM intents c
    WHERE c.tenant_id = $1 AND c.state = 'confirmed' AND c.customer = d.customer
        AND c.event_name = d.event_name AND c.event_at >= d.start AND c.event_at < d."end") AS confirmed
FROM doubtful d ORDER BY d.event_name
"""

# Only who saw the same first absence writes: another process may have read a later total meanwhile.
_SEEN = """tenant_id = $1 AND intent_id = $2 AND state = 'ambiguous'
    AND absence_observed_at IS NOT DISTINCT FROM $3"""

_ABSENT = f"""
UPDATE intents SET absence_observed_at = coalesce(absence_observed_at, now()), error = $5,
    retry_at = coalesce(absence_observed_at, now()) + make_interval(hours => $4)
WHERE {_SEEN}
"""  # noqa: S608 - constants of this file

_UNEXPLAINED = f"""
UPDATE intents SET absence_observed_at = NULL, error = $5, retry_at = now() + make_interval(hours => $4)
WHERE {_SEEN}
"""  # noqa: S608 - constants of this file

_MISSING = f"""
UPDATE intents SET state = 'missing', settled_at = now(), retry_at = NULL, error = NULL WHERE {_SEEN}
RETURNING intent_id
"""  # noqa: S608 - constants of this file

# As one that was refused and is asked for again: whether it may still be sent, and for which customer, is
# decided where that is decided for all of them. Its time stays that of the usage.
_REPLACE = """
INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start, value,
                     state, error, retry_at, settled_at, replaces)
SELECT tenant_id, $3, $4, customer, event_name, event_at, period_start, value, 'rejected',
       'the send before it never reached Stripe', now(), now(), intent_id
FROM intents WHERE tenant_id = $1 AND intent_id = $2
"""

_MOVE = "UPDATE carriers SET intent_id = $3 WHERE tenant_id = $1 AND intent_id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    tenant_id: str
    intent_id: UUID
    customer: str
    event_name: str
    value: int
    confirmed: int
    """Leads that Stripe surely has from `start` to `end`."""
    start: datetime
    end: datetime
    absence_observed_at: datetime | None
    long_absent: bool
    """Absence was seen 24 h before this reading, or longer ago."""

    def verdict(self, total: int) -> Verdict:
        """A total below zero may be cut off there, so it shows no absence."""
        if total == self.confirmed + self.value:
            return "landed"
        if total != self.confirmed or self.confirmed + self.value < 0:
            return "unexplained"
        return "missing" if self.long_absent else "absent"


async def begin(connection: Connection, tenant_id: str, pace: Pace) -> list[Doubt]:
    """Takes the doubtful sends whose totals are to be read now, at most one a meter."""
    again = max(pace.lease, pace.retry.ceiling)
    rows = await connection.fetch(_BEGIN, tenant_id, again, ABSENT_HOURS)
    return [Doubt(tenant_id=tenant_id, **dict(row)) for row in rows]


async def clear_up(database: Database, meter: UsageMeter, doubt: Doubt, pace: Pace) -> None:
    """Reads one total and commits what it proves. If that fails, it is read again some minutes later."""
    total = await _total(database, meter, doubt, pace)
    if total is None:
        return
    verdict = doubt.verdict(total)
    async with database.transaction(doubt.tenant_id, name="flush.verdict") as connection:
        await _settle(connection, doubt, verdict, total)
    observe.DOUBTS.labels(verdict).inc()
    told = {"tenant": doubt.tenant_id, "intent": str(doubt.intent_id), "total": total}
    if verdict == "unexplained":
        log.error("total_unexplained", expected=doubt.confirmed, sent=doubt.value, **told)
    else:
        log.info("doubt_read", verdict=verdict, **told)


async def _total(database: Database, meter: UsageMeter, doubt: Doubt, pace: Pace) -> int | None:
    await turns.turn_to_read(database, meter)
    try:
        async with asyncio.timeout(pace.call_seconds):
            return await _read(meter, doubt)
    except StepError as error:
        fault: dict[str, Any] = {"error": error.error}
    except Exception as error:  # noqa: BLE001 - whatever it is, the send stays doubtful
        fault = logs.fault(error)
    log.warning("total_not_read", tenant=doubt.tenant_id, intent=str(doubt.intent_id), **fault)
    return None


async def _read(meter: UsageMeter, doubt: Doubt) -> int:
    meter_id = await meter.meter_of(doubt.event_name)
    if meter_id is None:
        raise StepRejected("Stripe has no active meter of that name", error="NoMeter")
    return await meter.event_summary(meter_id, doubt.customer, doubt.start, doubt.end)


async def _settle(connection: Connection, doubt: Doubt, verdict: Verdict, total: int) -> None:
    seen = doubt.tenant_id, doubt.intent_id, doubt.absence_observed_at
    match verdict:
        case "landed":
            await settle.confirm(connection, doubt.tenant_id, doubt.intent_id)
        case "absent":
            text = f"Stripe counts {total} leads in the period, as without this send"
            await connection.execute(_ABSENT, *seen, ABSENT_HOURS, text)
        case "unexplained":
            least, most = sorted((doubt.confirmed, doubt.confirmed + doubt.value))
            text = f"Stripe counts {total} leads in the period, and should count {least} or {most}"
            await connection.execute(_UNEXPLAINED, *seen, READ_AGAIN_HOURS, text)
        case "missing":
            if await connection.fetchval(_MISSING, *seen):
                await _replace(connection, doubt)


async def _replace(connection: Connection, doubt: Doubt) -> None:
    key, made = (doubt.tenant_id, doubt.intent_id), uuid_utils.compat.uuid7()
    await connection.execute(_REPLACE, *key, made, identifier_of(doubt.tenant_id, made))
    await connection.execute(_MOVE, *key, made)
