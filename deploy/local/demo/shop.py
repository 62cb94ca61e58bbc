"""What has to exist before anybody can ask for leads: plans and tenants here, customers at Stripe."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from deploy.local.children import Children, ProcessFailed
from deploy.local.demo.scenario import EVENT_NAME, PLANS, Tenant, webhook_url
from steps.clients.stripe import Billing, StripeSettings, open_stripe

TOOL = ("-m", "orchestrator")


async def set_up(children: Children, sandbox: str, tenants: Sequence[Tenant]) -> dict[str, str]:
    """Returns the Stripe customer of each tenant. Plans and tenants are added by the operators' tool; what an
    earlier, interrupted run has added stays as it is."""
    plans, tenants_here = await asyncio.gather(_listed(children, "plans"), _listed(children, "tenants"))
    sold = {row["plan_id"] for row in plans}
    known = {row["tenant_id"]: str(row["stripe_customer"]) for row in tenants_here}
    # A tenant is added last: whoever has one here has its customer at Stripe.
    missing = [tenant for tenant in tenants if tenant.tenant_id not in known]
    made, _ = await asyncio.gather(
        _customers(children, missing),
        asyncio.gather(*(_sell(children, plan) for plan in PLANS if plan[0] not in sold)),
    )
    customers = known | made
    await asyncio.gather(
        *(_open(children, sandbox, tenant, customers[tenant.tenant_id]) for tenant in missing)
    )
    return {tenant.tenant_id: customers[tenant.tenant_id] for tenant in tenants}


async def _sell(children: Children, plan: tuple[str, str, str, int]) -> None:
    name, price, currency, quota = plan
    amounts = ("--price", price, "--currency", currency, "--quota", str(quota))
    await children.once(f"plan-{name}", [*TOOL, "plans", "add", name, *amounts])


async def _open(children: Children, sandbox: str, tenant: Tenant, customer: str) -> None:
    known_as = ("--name", tenant.name, "--plan", tenant.plan, "--stripe-customer", customer)
    await children.once(
        f"tenant-{tenant.tenant_id}",
        [*TOOL, "tenants", "add", tenant.tenant_id, *known_as],
        {"LEADSAGA_DISCORD_WEBHOOK": webhook_url(sandbox, tenant)},
    )


async def _listed(children: Children, what: str) -> list[dict[str, Any]]:
    """What the operators' tool knows of. Raises ProcessFailed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *TOOL, what, "list", "--json"),
        cwd=children.directory,
        env=children.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ProcessFailed(f"leadsaga {what} list ended with status {process.returncode}")
    return list(json.loads(output))


async def _customers(children: Children, tenants: Sequence[Tenant]) -> dict[str, str]:
    key = children.environment.get("STRIPE_API_KEY")
    settings = StripeSettings(
        stripe_api_key=SecretStr(key) if key else None,
        stripe_base_url=children.environment.get("LEADSAGA_STRIPE_BASE_URL"),
    )
    async with open_stripe(settings) as billing:
        meter = await billing.ensure_meter(EVENT_NAME)
        return {tenant.tenant_id: await _customer(billing, meter, tenant) for tenant in tenants}


async def _customer(billing: Billing, meter: str, tenant: Tenant) -> str:
    if not tenant.known_to_stripe:
        return "cus_0123456789ABCDEF"
    price, currency = next((price, currency) for plan, price, currency, _ in PLANS if plan == tenant.plan)
    customer = await billing.create_customer(tenant.name, tenant.tenant_id)
    made = await billing.ensure_price(
        tenant.plan, meter=meter, price_per_lead=Decimal(price), currency=currency
    )
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    await billing.ensure_subscription(customer, made, start=month)
    return customer
