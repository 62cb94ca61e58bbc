"""Adding a tenant by its saga: asked over the broker as the administration, told when it is over."""

import base64
from collections.abc import Mapping

from pydantic import ValidationError

from contracts.bundle import explain
from contracts.process.postgres import Database
from contracts.process.sealing import keys, webhook_of
from contracts.requests import TenantRequested
from orchestrator.operate.errors import BadUsage, Refused
from orchestrator.operate.tenants import NewTenant, Tenant, check_webhook, locked
from orchestrator.operate.upstream import upstream
from orchestrator.operate.webhooks import introduce


async def provision(  # noqa: PLR0913 - what is asked, by whom, and how long to wait for it
    database: Database,
    tenant: NewTenant,
    *,
    request_id: str,
    actor: str,
    wait: float,
    flags: Mapping[str, bool],
    discord_webhook: str | None = None,
) -> Tenant:
    """The webhook is a secret: it travels sealed. Raises BadUsage for what no request may say, Refused with
    the reason when the tenant was not added, TimedOut when that is not known yet, Unavailable, and
    BadSettings."""
    asked = _request(tenant, request_id, actor, flags)
    if discord_webhook is not None:
        sealed = await _sealed(database, tenant.tenant_id, discord_webhook)
        asked = asked.model_validate({**asked.model_dump(), "webhook": sealed})
    async with upstream() as side:
        heard = await side.ask(asked, wait)
    if not heard.met:
        raise Refused(f"the tenant was not added ({heard.outcome}): {heard.reason}")
    async with database.transaction(tenant.tenant_id, name="operate.added_tenant") as connection:
        return await locked(connection, tenant.tenant_id)


def _request(tenant: NewTenant, request_id: str, actor: str, flags: Mapping[str, bool]) -> TenantRequested:
    try:
        return TenantRequested(
            request_id=request_id,
            new_tenant=tenant.tenant_id,
            name=tenant.name,
            plan=tenant.plan_id,
            sagas_in_flight=tenant.in_flight,
            model_calls=tenant.model_calls,
            flags=dict(flags),
            requested_by=actor,
        )
    except ValidationError as error:
        raise BadUsage(explain(error)) from error


async def _sealed(database: Database, tenant_id: str, url: str) -> dict[str, str]:
    check_webhook(url)
    known = keys()
    async with database.transaction(tenant_id, name="operate.seal_webhook") as connection:
        await introduce(connection, known)
    sealed = known.seal(url, webhook_of(tenant_id))
    return {"key_id": sealed.key_id, "sealed": base64.b64encode(sealed.sealed).decode()}
