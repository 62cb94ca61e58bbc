"""Tenants as the administration asks for them, and what Stripe knows of one."""

import secrets
from typing import Any

from contracts.requests import TenantRequested
from tests.kit.system import RunningSystem


def tenant_request(plan: str, **more: Any) -> TenantRequested:
    name = secrets.token_hex(4)
    given = {"request_id": f"add-{name}", "new_tenant": f"n-{name}", "name": f"New {name}", "plan": plan}
    return TenantRequested(**{**given, **more})


async def account_of(system: RunningSystem, tenant_id: str) -> dict[str, int]:
    """The customers that Stripe has for a tenant, by id, with how many subscriptions are active."""
    sdk = system.billing.sdk.v1
    customers = [each async for each in (await sdk.customers.list_async({"limit": 100})).auto_paging_iter()]
    mine = [each.id for each in customers if each.metadata and each.metadata["tenant_id"] == tenant_id]
    return {
        customer: len((await sdk.subscriptions.list_async({"customer": customer, "limit": 100})).data)
        for customer in mine
    }
