"""The customers of a run: uneven, some with next to no quota, and a few with whom something is wrong."""

from dataclasses import dataclass
from random import Random
from typing import Literal

import asyncpg

from deploy.sandbox.client import SandboxAdmin
from steps.clients.stripe import StripeSettings, open_stripe
from tests.kit.system import METER, PRICE, UNKNOWN_CUSTOMER, WEBHOOK_TOKEN

PLENTY = 1_000_000
SCARCE = 40
"""Leads a month: such tenants soon run out, and refunds give them back some of it."""
UNKNOWN = "nobody"
"""A tenant that does not exist."""

_PLAN = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota, event_name)
VALUES ($1, $2, 'eur', $3, $4)
"""
_TENANT = """
INSERT INTO tenants (tenant_id, name, status, plan_id, stripe_customer, sagas_in_flight, model_calls)
VALUES ($1, $1, $2, $1, $3, 200, 16)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """`weight`: how much of the load it makes, against the others."""

    tenant_id: str
    weight: float
    quota: int = PLENTY
    status: Literal["active", "suspended"] = "active"
    known_to_stripe: bool = True
    webhook: str | None = None


def drawn(count: int, chance: Random) -> list[Tenant]:
    """The few big ones make most of the load."""
    tenants = [
        Tenant(
            tenant_id=f"tenant-{number:02}",
            weight=1.0 / (1 + number) ** 0.5,
            quota=SCARCE if number % 4 == 3 else PLENTY,
            webhook=None if number % 6 == 5 else str(chance.randrange(10**17, 10**18)),
        )
        for number in range(count)
    ]
    return [
        *tenants,
        Tenant(tenant_id="suspended", weight=0.05, status="suspended"),
        Tenant(tenant_id="orphan", weight=0.1, known_to_stripe=False),
        Tenant(tenant_id=UNKNOWN, weight=0.05),
    ]


async def settle_in(tenants: list[Tenant], database_url: str, sandbox_url: str) -> None:
    """Everything a tenant needs before it can ask: plan, customer at Stripe, webhook at Discord."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        async with (
            SandboxAdmin(sandbox_url) as admin,
            open_stripe(StripeSettings(stripe_base_url=f"{sandbox_url}/stripe")) as billing,
        ):
            await billing.ensure_meter(METER)
            for tenant in tenants:
                if tenant.tenant_id == UNKNOWN:
                    continue
                name, customer = tenant.tenant_id, UNKNOWN_CUSTOMER
                if tenant.known_to_stripe:
                    customer = await billing.create_customer(name, name)
                await connection.execute(_PLAN, name, PRICE, tenant.quota, METER)
                await connection.execute(_TENANT, name, tenant.status, customer)
                if tenant.webhook is not None:
                    await admin.register_webhook(tenant.webhook, WEBHOOK_TOKEN)
                    url = f"{sandbox_url}/discord/api/webhooks/{tenant.webhook}/{WEBHOOK_TOKEN}"
                    await connection.execute("INSERT INTO discord_webhooks VALUES ($1, $2)", name, url)
    finally:
        await connection.close()
