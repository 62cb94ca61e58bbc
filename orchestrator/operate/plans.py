"""What is sold."""

from dataclasses import dataclass
from decimal import Decimal

import asyncpg

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import BadUsage, Refused
from orchestrator.operate.plain import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`price_per_lead` in `currency`; `monthly_quota` in leads per billing period; `event_name` of the Stripe
    meter."""

    plan_id: str
    price_per_lead: Decimal
    currency: str
    monthly_quota: int
    overage: bool = False
    event_name: str = "leads_delivered"


_ADD = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, overage, event_name)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_LIST = """
SELECT plan_id, price_per_lead, currency, monthly_quota, overage, event_name FROM plans ORDER BY plan_id
"""


async def add_plan(database: Database, plan: Plan, *, actor: str) -> Plan:
    """Raises Refused when there is such a plan, and BadUsage for what the database does not take."""
    if not plan.price_per_lead.is_finite():
        raise BadUsage("a plan's price is a number")
    async with database.transaction(name="operate.add_plan") as connection:
        try:
            status = await connection.execute(
                _ADD,
                plan.plan_id,
                plan.price_per_lead,
                plan.currency,
                plan.monthly_quota,
                plan.overage,
                plan.event_name,
            )
        except (asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError, asyncpg.DataError) as error:
            raise BadUsage(
                "a plan needs a lower-case id, a price, a currency of three letters and a quota"
            ) from error
        if status == "INSERT 0 0":
            raise Refused(f"there is a plan {plan.plan_id} already")
        await audit.record(connection, actor=actor, action="add plan", after=plan)
    return plan


async def plans(database: Database) -> list[Plan]:
    async with database.transaction(name="operate.plans") as connection:
        return rows(Plan, await connection.fetch(_LIST))
