"""Stores the tenant that is being added: plan with quota and price, limits, webhook. Until it is active no
one can ask in its name. Taken back, nothing of it is left but the audit, and its id is free again."""

from collections.abc import Sequence
from typing import Any

from contracts.errors import StepRejected
from contracts.facts import TenantStored
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.requests import SealedWebhook, TenantRequested
from steps.runtime.step import Batch, Connection, Step
from steps.tenants.acting import acting
from steps.tenants.audit import record

_PLAN = """
SELECT monthly_quota, price_per_lead, currency, event_name, billing, stripe_price FROM terms_at($1, now())
"""

_STORE = """
INSERT INTO tenants (tenant_id, name, status, plan_id, sagas_in_flight, model_calls, provisioned_by)
VALUES ($1, $2, 'provisioning', $3, $4, $5, $6) ON CONFLICT DO NOTHING
RETURNING billing_anchor, created_at
"""

_KNOWN_KEY = "SELECT true FROM secret_keys WHERE key_id = $1"

_WEBHOOK = "INSERT INTO discord_webhooks (tenant_id, sealed, sealed_by) VALUES ($1, $2, $3)"

_HALF = "SELECT true FROM tenants WHERE tenant_id = $1 AND provisioned_by = $2 AND status = 'provisioning'"

_SILENCE = "DELETE FROM discord_webhooks WHERE tenant_id = $1"

_REMOVE = "DELETE FROM tenants WHERE tenant_id = $1"


async def store_tenant(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [await _store(connection, command) for command in commands]


async def _store(connection: Connection, command: Command) -> Outcome:
    async with acting(connection, command) as asked:
        plan = await connection.fetchrow(_PLAN, asked.plan)
        if plan is None:
            raise StepRejected(f"there is no plan {asked.plan}", error="NoPlan")
        stored = await connection.fetchrow(
            _STORE,
            asked.new_tenant,
            asked.name,
            asked.plan,
            asked.sagas_in_flight,
            asked.model_calls,
            command.saga_id,
        )
        if stored is None:
            raise StepRejected(f"there is a tenant {asked.new_tenant} already", error="TenantExists")
        if asked.webhook is not None:
            await _keep_webhook(connection, asked.new_tenant, asked.webhook)
    return Done(facts=_fact(asked, plan, stored).model_dump(mode="json"))


async def _keep_webhook(connection: Connection, tenant_id: str, webhook: SealedWebhook) -> None:
    if not await connection.fetchval(_KNOWN_KEY, webhook.key_id):
        reason = "the webhook is sealed with a key that is not in use: set it once the tenant is there"
        raise StepRejected(reason, error="UnknownKey")
    await connection.execute(_WEBHOOK, tenant_id, webhook.sealed, webhook.key_id)


def _fact(asked: TenantRequested, plan: Any, stored: Any) -> TenantStored:
    return TenantStored(
        tenant_id=asked.new_tenant,
        plan_id=asked.plan,
        monthly_quota=plan["monthly_quota"],
        price_per_lead=plan["price_per_lead"],
        currency=plan["currency"],
        event_name=plan["event_name"],
        billing=plan["billing"],
        stripe_price=plan["stripe_price"],
        billing_anchor=stored["billing_anchor"],
        stored_at=stored["created_at"],
    )


async def remove_tenant(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    """Happy to find nothing, or a tenant of another saga: that one stays."""
    for command in commands:
        async with acting(connection, command) as asked:
            if await connection.fetchval(_HALF, asked.new_tenant, command.saga_id):
                await connection.execute(_SILENCE, asked.new_tenant)
                await connection.execute(_REMOVE, asked.new_tenant)
                await record(connection, command, "remove half tenant", before={"status": "provisioning"})
    return [Done() for _ in commands]


STEP = Step(
    name="store_tenant",
    do=Batch(run=store_tenant),
    undo_name="remove_tenant",
    undo=Batch(run=remove_tenant),
)
