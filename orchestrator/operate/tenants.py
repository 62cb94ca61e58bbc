"""Who buys: added, suspended and resumed by operators, every change with its audit row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg

from contracts.ids import ADMINISTRATION
from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import BadUsage, NotFound, Refused
from orchestrator.operate.plain import rows
from orchestrator.operate.webhooks import store_webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """`in_flight`: sagas under way at most; `model_calls`: calls to the model side by side at most."""

    tenant_id: str
    name: str
    plan_id: str
    stripe_customer: str | None = None
    in_flight: int = 50
    model_calls: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    tenant_id: str
    name: str
    status: str
    plan_id: str
    stripe_customer: str | None
    billing_anchor: datetime
    sagas_in_flight: int
    model_calls: int
    created_at: datetime
    refused_by_stripe: str | None = None
    """Why Stripe refuses the tenant's usage; told in lists only."""


_COLUMNS = """tenant_id, name, status, plan_id, stripe_customer, billing_anchor, sagas_in_flight, model_calls,
    created_at"""
_ADD = f"""
INSERT INTO tenants (tenant_id, name, plan_id, stripe_customer, sagas_in_flight, model_calls)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
"""  # noqa: S608 - constants of this file
_LIST = f"""
SELECT {_COLUMNS}, reason AS refused_by_stripe FROM tenants LEFT JOIN billing_flags USING (tenant_id)
WHERE tenant_id <> '{ADMINISTRATION}' ORDER BY tenant_id
"""  # noqa: S608 - constants of this file
_OTHER = "SELECT tenant_id FROM tenants WHERE stripe_customer = $2 AND tenant_id <> $1 LIMIT 1"
_LOCK = f"SELECT {_COLUMNS} FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"  # noqa: S608 - constants


async def add_tenant(
    database: Database, tenant: NewTenant, *, actor: str, discord_webhook: str | None = None
) -> Tenant:
    """The webhook is a secret: it is sealed, and never told again. Raises Refused when there is such a
    tenant, or another one with that Stripe customer, NotFound without its plan, and BadUsage for what the
    database does not take."""
    if discord_webhook is not None:
        check_webhook(discord_webhook)
    async with database.transaction(tenant.tenant_id, name="operate.add_tenant") as connection:
        added = await _add(connection, tenant)
        if discord_webhook is not None:
            await store_webhook(connection, tenant.tenant_id, discord_webhook)
        await audit.record(
            connection,
            actor=actor,
            action="add tenant",
            tenant_id=tenant.tenant_id,
            after={"tenant": added, "discord_webhook": discord_webhook is not None},
        )
    return added


async def _add(connection: Any, tenant: NewTenant) -> Tenant:
    await expect_own_customer(connection, tenant.tenant_id, tenant.stripe_customer)
    try:
        added = await connection.fetch(
            _ADD,
            tenant.tenant_id,
            tenant.name,
            tenant.plan_id,
            tenant.stripe_customer,
            tenant.in_flight,
            tenant.model_calls,
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"there is no plan {tenant.plan_id}") from error
    except (asyncpg.CheckViolationError, asyncpg.DataError) as error:
        raise BadUsage(
            "a tenant's id is lower-case letters, digits and dashes; limits are above 0"
        ) from error
    if not added:
        raise Refused(f"there is a tenant {tenant.tenant_id} already")
    return rows(Tenant, added)[0]


async def expect_own_customer(connection: Any, tenant_id: str, customer: str | None) -> None:
    """Stripe tells usage by customer, so no two tenants have one in common. Raises Refused."""
    other = await connection.fetchval(_OTHER, tenant_id, customer)
    if other is not None:
        raise Refused(f"{customer} is the Stripe customer of {other}")


def check_webhook(url: str) -> None:
    """Raises BadUsage, which does not quote it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable()
    except ValueError:
        sound = False
    if not sound or " " in url:
        raise BadUsage("the Discord webhook is not a URL")


async def tenants(database: Database) -> list[Tenant]:
    async with database.transaction(name="operate.tenants") as connection:
        return rows(Tenant, await connection.fetch(_LIST))


async def set_status(
    database: Database, tenant_id: str, status: Literal["active", "suspended"], *, actor: str, reason: str
) -> Tenant:
    """A suspended tenant's new requests are refused; what is under way goes on. Raises NotFound, and Refused
    without a reason."""
    if not reason.strip():
        raise Refused("this needs a reason")
    async with database.transaction(tenant_id, name="operate.set_status") as connection:
        before = await locked(connection, tenant_id)
        if before.status == "provisioning":
            raise Refused(f"{tenant_id} is still being added, by saga {await _adding(connection, tenant_id)}")
        await connection.execute("UPDATE tenants SET status = $2 WHERE tenant_id = $1", tenant_id, status)
        await audit.record(
            connection,
            actor=actor,
            action="suspend tenant" if status == "suspended" else "resume tenant",
            tenant_id=tenant_id,
            reason=reason.strip(),
            before={"status": before.status},
            after={"status": status},
        )
        return await locked(connection, tenant_id)


async def _adding(connection: Any, tenant_id: str) -> Any:
    return await connection.fetchval("SELECT provisioned_by FROM tenants WHERE tenant_id = $1", tenant_id)


async def locked(connection: Any, tenant_id: str) -> Tenant:
    """As it stands; nobody else changes it before this transaction ends. Raises NotFound."""
    found = rows(Tenant, await connection.fetch(_LOCK, tenant_id))
    if not found:
        raise NotFound(f"there is no tenant {tenant_id}")
    return found[0]
