"""What tenants bring in and what their model calls cost, by day."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import BadUsage, NotFound, Refused
from orchestrator.operate.plain import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One tenant on one day (UTC), in US dollars. Refunds count on the day on which they were given; every
    call to the model counts, failed ones too. None where the rate of a currency is not known."""

    tenant_id: str
    day: date
    leads: int
    revenue_usd: Decimal | None
    calls: int
    failed_calls: int
    unpriced_calls: int
    cost_usd: Decimal
    margin_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one unit of a currency is worth from a day (UTC) on."""

    currency: str
    valid_from: date
    usd: Decimal


_TENANTS = "SELECT tenant_id FROM tenants WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY 1"

_MARGIN = """
SELECT tenant_id, day, leads, revenue_usd, calls, failed_calls, unpriced_calls, cost_usd, margin_usd
FROM margin_by_day
WHERE tenant_id = $1 AND day >= coalesce($2::timestamptz AT TIME ZONE 'UTC', '-infinity')::date
ORDER BY day
"""

_RATES = "SELECT currency, valid_from, usd FROM exchange_rates ORDER BY currency, valid_from"

_BEFORE = "SELECT usd FROM exchange_rates WHERE currency = $1 AND valid_from = $2"

_SET = """
INSERT INTO exchange_rates (currency, valid_from, usd) VALUES ($1, $2, $3)
ON CONFLICT (currency, valid_from) DO UPDATE SET usd = excluded.usd
"""


async def margin(database: Database, tenant_id: str | None, since: datetime | None) -> list[Margin]:
    """By tenant and day. Raises NotFound for an unknown tenant."""
    async with database.transaction(name="operate.margin_tenants") as connection:
        tenants = [row["tenant_id"] for row in await connection.fetch(_TENANTS, tenant_id)]
    if tenant_id is not None and not tenants:
        raise NotFound(f"there is no tenant {tenant_id}")
    found: list[Margin] = []
    for each in tenants:
        async with database.transaction(each, name="operate.margin") as connection:
            found += rows(Margin, await connection.fetch(_MARGIN, each, since))
    return found


async def rates(database: Database) -> list[Rate]:
    async with database.transaction(name="operate.rates") as connection:
        return rows(Rate, await connection.fetch(_RATES))


async def set_rate(database: Database, rate: Rate, *, actor: str, reason: str) -> Rate:
    """Also for days that are over: margins follow. Raises Refused without a reason, and BadUsage for what the
    database does not take."""
    if not reason.strip():
        raise Refused("this needs a reason")
    async with database.transaction(name="operate.set_rate") as connection:
        before = await connection.fetchval(_BEFORE, rate.currency, rate.valid_from)
        try:
            await connection.execute(_SET, rate.currency, rate.valid_from, rate.usd)
        except (asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError, asyncpg.DataError) as error:
            raise BadUsage("a rate needs a currency of three lower-case letters, and is above 0") from error
        await audit.record(
            connection,
            actor=actor,
            action="set exchange rate",
            reason=reason.strip(),
            before=None if before is None else {"usd": before},
            after={"currency": rate.currency, "valid_from": rate.valid_from.isoformat(), "usd": rate.usd},
        )
    return rate
