"""Changing a tenant that exists: a wrong Stripe customer, a disabled webhook, other limits."""

from dataclasses import dataclass, fields
from typing import Any

import asyncpg

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import BadUsage, NotFound, Refused
from orchestrator.operate.tenants import Tenant, check_webhook, expect_own_customer, locked
from orchestrator.operate.webhooks import store_webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantChange:
    """What is None stays as it is. Named as the columns are."""

    name: str | None = None
    plan_id: str | None = None
    stripe_customer: str | None = None
    sagas_in_flight: int | None = None
    model_calls: int | None = None

    @property
    def wanted(self) -> dict[str, Any]:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


_SET = """
UPDATE tenants SET name = coalesce($2, name), plan_id = coalesce($3, plan_id),
    stripe_customer = coalesce($4, stripe_customer), sagas_in_flight = coalesce($5, sagas_in_flight),
    model_calls = coalesce($6, model_calls)
WHERE tenant_id = $1
"""

_WEBHOOK_NOW = "SELECT disabled_at, disabled_reason FROM discord_webhooks WHERE tenant_id = $1"


async def change_tenant(  # noqa: PLR0913 - what is changed, by whom and why
    database: Database,
    tenant_id: str,
    change: TenantChange,
    *,
    actor: str,
    reason: str,
    discord_webhook: str | None = None,
) -> Tenant:
    """The webhook is a secret: it is sealed, never told again, and enabled. A replay uses the new values.

    Raises NotFound without the tenant or its plan, Refused without a reason or when another tenant has that
    Stripe customer, and BadUsage when nothing is to
    be changed or the database does not take it.
    """
    _check(change, reason, discord_webhook)
    async with database.transaction(tenant_id, name="operate.change_tenant") as connection:
        tenant = await locked(connection, tenant_id)
        before = {name: getattr(tenant, name) for name in change.wanted}
        after = dict(change.wanted)
        if change.wanted:
            await _set(connection, tenant_id, change)
        if discord_webhook is not None:
            before["discord_webhook"] = await _webhook(connection, tenant_id)
            await store_webhook(connection, tenant_id, discord_webhook)
            after["discord_webhook"] = {**await _webhook(connection, tenant_id), "replaced": True}
        await audit.record(
            connection,
            actor=actor,
            action="change tenant",
            tenant_id=tenant_id,
            reason=reason.strip(),
            before=before,
            after=after,
        )
        return await locked(connection, tenant_id)


def _check(change: TenantChange, reason: str, discord_webhook: str | None) -> None:
    if not change.wanted and discord_webhook is None:
        raise BadUsage("there is nothing to change: give at least one new value")
    if not reason.strip():
        raise Refused("this needs a reason")
    if change.name is not None and not change.name.strip():
        raise BadUsage("a tenant's name is not empty")
    customer = change.stripe_customer
    if customer is not None and (not customer.isprintable() or not customer or " " in customer):
        raise BadUsage("the Stripe customer is an id such as cus_...")
    if discord_webhook is not None:
        check_webhook(discord_webhook)


async def _set(connection: Any, tenant_id: str, change: TenantChange) -> None:
    await expect_own_customer(connection, tenant_id, change.stripe_customer)
    try:
        await connection.execute(
            _SET,
            tenant_id,
            change.name,
            change.plan_id,
            change.stripe_customer,
            change.sagas_in_flight,
            change.model_calls,
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"there is no plan {change.plan_id}") from error
    except (asyncpg.CheckViolationError, asyncpg.DataError) as error:
        raise BadUsage("limits are whole numbers above 0") from error


async def _webhook(connection: Any, tenant_id: str) -> dict[str, Any]:
    """What may be told of it."""
    found = await connection.fetchrow(_WEBHOOK_NOW, tenant_id)
    return {"set": found is not None, **({} if found is None else dict(found))}
