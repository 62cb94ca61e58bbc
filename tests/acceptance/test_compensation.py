"""What fails before usage is recorded is undone by itself: nothing is held, kept or billed, and the requester
is told why."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.events import Event
from tests.kit.asking import lead_request
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]

UNDONE = """
SELECT step FROM effects WHERE tenant_id = $1 AND direction = 'undo' AND state = 'done'
ORDER BY updated_at, step
"""


async def test_when_the_model_refuses_for_good_all_is_undone_and_told(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=5)
    await system.sandbox.fault("anthropic.messages", match=request.request_id, status=400)
    await system.upstream.ask(request)

    await _nothing_is_left(system, tenant, await system.upstream.outcome(request))
    assert "reserve_quota" in await _undone(system, tenant)


async def test_when_recording_refuses_after_leads_were_generated_all_is_undone_and_told(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant, leads=5)
    async with _no_lead_can_be_delivered(system, tenant):
        await system.upstream.ask(request)
        failed = await system.upstream.outcome(request)

    await _nothing_is_left(system, tenant, failed)
    assert ["generate_leads", "reserve_quota"] == await _undone(system, tenant)
    answered = "SELECT count(*) FROM model_calls WHERE tenant_id = $1 AND outcome = 'answered' AND leads > 0"
    assert await system.sql.fetchval(answered, tenant.tenant_id)


async def _nothing_is_left(system: RunningSystem, tenant: Tenant, failed: Event) -> None:
    assert ("failed", True) == (failed.event, len(getattr(failed, "reason", "")) > 10)
    assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))
    for table in ("leads", "ledger", "intents", "credits"):
        query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
        assert 0 == await system.sql.fetchval(query, tenant.tenant_id), table
    assert 0 == await system.told_stripe(tenant)
    holds = await system.sql.fetch("SELECT state FROM holds WHERE tenant_id = $1", tenant.tenant_id)
    assert ["released"] == [row["state"] for row in holds]
    notice = "SELECT count(*) = 1 FROM notices WHERE tenant_id = $1 AND event = 'failed' AND state = 'sent'"
    await system.until_sql(notice, tenant.tenant_id)


async def _undone(system: RunningSystem, tenant: Tenant) -> list[str]:
    return [row["step"] for row in await system.sql.fetch(UNDONE, tenant.tenant_id)]


@asynccontextmanager
async def _no_lead_can_be_delivered(system: RunningSystem, tenant: Tenant) -> AsyncIterator[None]:
    """The tenant's drafts never become visible: recording finds none, and refuses."""
    name = f"withhold_{secrets.token_hex(4)}"
    await system.sql.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        f"CREATE TRIGGER {name} BEFORE UPDATE ON leads FOR EACH ROW"
        f" WHEN (NEW.tenant_id = '{tenant.tenant_id}') EXECUTE FUNCTION {name}()"
    )
    try:
        yield
    finally:
        await system.sql.execute(f"DROP TRIGGER {name} ON leads; DROP FUNCTION {name}()")
