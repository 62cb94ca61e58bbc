"""What is sold, and on which terms from when."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from contracts.ids import ADMINISTRATION
from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import BadUsage, NotFound, Refused
from orchestrator.operate.plain import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The terms of a plan from `valid_from` on (None = its first ones). `price_per_lead` in `currency`;
    `monthly_quota` in leads per billing period; `event_name` of the Stripe meter. `billing` is metered
    (reported to Stripe) or manual (people bill it, nothing is reported)."""

    plan_id: str
    price_per_lead: Decimal
    currency: str
    monthly_quota: int
    overage: bool = False
    event_name: str = "leads_delivered"
    billing: str = "metered"
    stripe_price: str | None = None
    valid_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is None stays as it is by then. Named as the columns are."""

    price_per_lead: Decimal | None = None
    currency: str | None = None
    monthly_quota: int | None = None
    overage: bool | None = None
    event_name: str | None = None
    billing: str | None = None
    stripe_price: str | None = None


_ADD = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, overage, event_name, billing,
    stripe_price)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""
_COLUMNS = "plan_id, price_per_lead, currency, monthly_quota, overage, event_name, billing, stripe_price"
_LIST = f"""
SELECT {_COLUMNS}, NULL::timestamptz AS valid_from FROM plans WHERE plan_id <> '{ADMINISTRATION}'
UNION ALL SELECT {_COLUMNS}, valid_from FROM plan_terms ORDER BY plan_id, valid_from NULLS FIRST
"""  # noqa: S608 - constants of this file

_AT = f"SELECT {_COLUMNS}, nullif(valid_from, '-infinity') AS valid_from FROM terms_at($1, $2)"  # noqa: S608

_PAST = "SELECT $1::timestamptz < now() - interval '1 minute'"

# What is not said anew, a price's own terms excepted: another price is another one at Stripe.
_SET = """
INSERT INTO plan_terms (plan_id, valid_from, price_per_lead, currency, monthly_quota, overage, event_name,
    billing, stripe_price)
SELECT plan_id, $2, coalesce($3, price_per_lead), coalesce($4, currency), coalesce($5, monthly_quota),
    coalesce($6, overage), coalesce($7, event_name), coalesce($8, billing),
    CASE WHEN $9::text IS NOT NULL THEN $9
         WHEN (coalesce($3, price_per_lead), coalesce($4, currency), coalesce($7, event_name))
            = (price_per_lead, currency, event_name) THEN stripe_price END
FROM terms_at($1, $2)
"""

NOT_TAKEN = (asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError, asyncpg.DataError)
"""What the database says of values that make no plan."""


async def add_plan(database: Database, plan: Plan, *, actor: str) -> Plan:
    """Raises Refused when there is such a plan, and BadUsage for what the database does not take."""
    _expect_number(plan.price_per_lead)
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
                plan.billing,
                plan.stripe_price,
            )
        except NOT_TAKEN as error:
            raise BadUsage(
                "a plan needs a lower-case id, a price, a currency of three letters and a quota"
            ) from error
        if status == "INSERT 0 0":
            raise Refused(f"there is a plan {plan.plan_id} already")
        await audit.record(connection, actor=actor, action="add plan", after=plan)
    return plan


async def set_terms(  # noqa: PLR0913 - what is changed, when, by whom and why
    database: Database, plan_id: str, terms: Terms, *, start: datetime, actor: str, reason: str
) -> Plan:
    """New terms of a plan from `start` on. Quota and overage hold at once then; price, currency, meter and
    billing for each tenant from its next billing period on. What a plan said once is never changed.

    Raises NotFound without the plan, Refused without a reason, for a start in the past and for one that has
    terms already, and BadUsage for what the database does not take."""
    if not reason.strip():
        raise Refused("this needs a reason")
    if terms == Terms():
        raise BadUsage("there is nothing to change: give at least one new value")
    async with database.transaction(name="operate.set_terms") as connection:
        if await connection.fetchval(_PAST, start):
            raise Refused("what was sold is sold: terms begin now or later")
        before = await _terms(connection, plan_id, start)
        await _insert(connection, plan_id, terms, start)
        after = await _terms(connection, plan_id, start)
        await audit.record(
            connection,
            actor=actor,
            action="set plan terms",
            reason=reason.strip(),
            before=before,
            after=after,
        )
    return after


async def _terms(connection: Any, plan_id: str, at: datetime) -> Plan:
    found = rows(Plan, await connection.fetch(_AT, plan_id, at))
    if not found:
        raise NotFound(f"there is no plan {plan_id}")
    return found[0]


async def _insert(connection: Any, plan_id: str, terms: Terms, start: datetime) -> None:
    if terms.price_per_lead is not None:
        _expect_number(terms.price_per_lead)
    try:
        await connection.execute(
            _SET,
            plan_id,
            start,
            terms.price_per_lead,
            terms.currency,
            terms.monthly_quota,
            terms.overage,
            terms.event_name,
            terms.billing,
            terms.stripe_price,
        )
    except asyncpg.UniqueViolationError as error:
        raise Refused(f"plan {plan_id} has terms from that moment on already") from error
    except NOT_TAKEN as error:
        raise BadUsage("a plan needs a price, a currency of three letters and a quota") from error


def _expect_number(price: Decimal) -> None:
    """Infinity and NaN are decimals, too."""
    if not price.is_finite():
        raise BadUsage("a plan's price is a number")


async def plans(database: Database) -> list[Plan]:
    """All terms of all plans, the first ones first."""
    async with database.transaction(name="operate.plans") as connection:
        return rows(Plan, await connection.fetch(_LIST))
