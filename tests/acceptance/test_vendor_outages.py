"""An hour without a vendor: nobody listens there, or all is refused, or nothing is answered. All waits are
scaled, so that it takes seconds; the limits on calls are not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from contracts.requests import LeadRequested
from tests.kit.asking import delivered, lead_request
from tests.kit.broker import own_prefix
from tests.kit.database import cloned
from tests.kit.proxy import Proxy, proxied
from tests.kit.sandbox import running_sandbox, until
from tests.kit.system import RunningSystem, Tenant, running_system
from tests.kit.zygote import ForkedChildren, zygote

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

HOUR = 10.0
"""Seconds that an hour takes."""
AT_ONCE = 5
"""Sagas in flight at most: fewer than are asked for in an hour."""
VENDORS = ("anthropic", "stripe", "discord")
REFUSAL = {"anthropic": 503, "stripe": 503, "discord": 429}
"""Discord's 503 leaves open whether a message went out, and is told like silence."""

SETTINGS = {
    "LEADSAGA_TIME_SCALE": f"{HOUR / 3600:g}",
    "LEADSAGA_MAX_IN_FLIGHT": f"{AT_ONCE}",
    "LEADSAGA_MODEL_CALL_TIMEOUT": "1",
    "LEADSAGA_STRIPE_CALL_TIMEOUT": "1",
    "LEADSAGA_DISCORD_CALL_TIMEOUT": "1",
}


@dataclass(slots=True)
class Setting:
    system: RunningSystem
    lines: dict[str, Proxy]
    """To each vendor."""

    async def tenant(self) -> Tenant:
        tenant = await self.system.tenant()
        await self.system.sql.execute(
            "UPDATE discord_webhooks SET url = replace(url, $2, $3) WHERE tenant_id = $1",
            *(tenant.tenant_id, self.system.sandbox_url, self.lines["discord"].url),
        )
        return tenant

    async def an_hour_without(
        self, vendor: str, troubles: tuple[str, ...], meanwhile: Callable[[str], Awaitable[None]]
    ) -> None:
        """Each trouble takes its share of the hour, and `meanwhile` as long as it needs."""
        for trouble in troubles:
            over = asyncio.get_running_loop().time() + HOUR / len(troubles)
            await self._begin(vendor, trouble)
            await meanwhile(trouble)
            await until(_reached(over), HOUR)
        await self._begin(vendor, "none")

    async def _begin(self, vendor: str, trouble: str) -> None:
        line, sandbox = self.lines[vendor], self.system.sandbox
        await sandbox.clear_faults()
        if trouble == "refused":
            await sandbox.fault(f"{vendor}.*", status=REFUSAL[vendor], retry_after=0.2)
        await line.heal()
        match trouble:
            case "nobody listens":
                line.refuse()
            case "silence":
                line.swallow()
            case _:
                line.cut()  # what a silence has swallowed does not come back


def _reached(moment: float) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return asyncio.get_running_loop().time() >= moment

    return reached


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Setting]:
    directory = tmp_path_factory.mktemp("system")
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(cloned(admin_url, template))
        prefix = await stack.enter_async_context(own_prefix(amqp_url))
        sandbox = await stack.enter_async_context(running_sandbox(directory / "sandbox"))
        lines = {vendor: await stack.enter_async_context(proxied(sandbox)) for vendor in VENDORS}
        urls = {
            f"LEADSAGA_{vendor.upper()}_BASE_URL": f"{line.url}/{vendor}" for vendor, line in lines.items()
        }
        forks = await stack.enter_async_context(zygote())
        system = await stack.enter_async_context(
            running_system(
                *(database_url, amqp_url, prefix, sandbox, directory),
                settings={**SETTINGS, **urls},
                make_children=partial(ForkedChildren, zygote=forks),
            )
        )
        yield Setting(system, lines)


async def test_without_stripe_leads_are_delivered_and_all_is_reported_after_it(setting: Setting) -> None:
    system, tenants = setting.system, [await setting.tenant() for _ in range(3)]
    asked: list[LeadRequested] = []

    async def deliver(_trouble: str) -> None:
        more = [lead_request(tenant, leads=2) for tenant in tenants]
        asked.extend(more)
        await system.upstream.ask(*more)
        for request in more:
            await system.upstream.outcome(request, "leads_ready")

    await setting.an_hour_without("stripe", ("nobody listens", "refused", "silence"), deliver)

    assert len(asked) > AT_ONCE
    tried = await system.sql.fetchval("SELECT max(attempts) FROM intents")
    assert tried > 2, "Stripe was not asked in vain"
    await _completed(system, asked)
    for tenant in tenants:
        await system.until_settled(tenant)
        wanted = sum(request.leads for request in asked if request.tenant_id == tenant.tenant_id)
        assert (wanted, wanted) == (await system.ledger(tenant), await system.told_stripe(tenant))
    assert {"confirmed"} == await _values(system, "SELECT state FROM intents")
    await _nobody_is_needed(system)


async def test_without_discord_nothing_but_notices_waits(setting: Setting) -> None:
    system, tenant = setting.system, await setting.tenant()
    asked: dict[str, LeadRequested] = {}

    async def complete(trouble: str) -> None:
        asked[trouble] = lead_request(tenant, leads=2)
        await delivered(system, asked[trouble])
        await system.until_settled(tenant)
        await system.until_sql(
            "SELECT attempts > 0 FROM notices JOIN sagas USING (tenant_id, saga_id)"
            " WHERE request_id = $1 AND event = 'completed'",
            asked[trouble].request_id,
        )

    # Silence first: what was told into it may have arrived, and whatever waits would be told into it too.
    await setting.an_hour_without("discord", ("silence", "nobody listens", "refused"), complete)

    await system.until_sql(
        "SELECT NOT EXISTS (SELECT FROM notices WHERE tenant_id = $1 AND state IN ('waiting', 'sending'))",
        tenant.tenant_id,
    )
    told = {
        row["request_id"]: row["state"]
        for row in await system.sql.fetch(
            "SELECT request_id, n.state FROM notices n JOIN sagas USING (tenant_id, saga_id)"
            " WHERE tenant_id = $1",
            tenant.tenant_id,
        )
    }
    states = {trouble: told[request.request_id] for trouble, request in asked.items()}
    assert {"silence": "unknown", "nobody listens": "sent", "refused": "sent"} == states
    assert (6, 6) == (await system.ledger(tenant), await system.told_stripe(tenant))
    await _nobody_is_needed(system)


async def test_without_the_model_requests_fail_honestly_and_cost_nothing(setting: Setting) -> None:
    system, tenant = setting.system, await setting.tenant()
    reasons: dict[str, str] = {}

    async def fail(trouble: str) -> None:
        requests = [lead_request(tenant, leads=2) for _ in range(2)]
        await system.upstream.ask(*requests)
        for request in requests:
            failed = await system.upstream.outcome(request)
            assert "failed" == failed.event
            reasons[trouble] = failed.reason
        assert (0, 0) == (await system.held(tenant), await system.ledger(tenant))

    await setting.an_hour_without("anthropic", ("nobody listens", "refused", "silence"), fail)

    assert {
        "nobody listens": "the model could not be reached (3 attempts)",
        "refused": "the model is busy (3 attempts)",
        "silence": "the model did not answer in time (3 attempts)",
    } == reasons
    drafts = "SELECT count(*) FROM leads WHERE tenant_id = $1"
    assert (0, 0) == (
        await system.sql.fetchval(drafts, tenant.tenant_id),
        await system.told_stripe(tenant),
    )
    await delivered(system, lead_request(tenant, leads=2))
    await system.until_settled(tenant)
    assert (2, 2) == (await system.ledger(tenant), await system.told_stripe(tenant))
    await _nobody_is_needed(system)


async def _completed(system: RunningSystem, requests: list[LeadRequested]) -> None:
    for request in requests:
        completed = await system.upstream.outcome(request)
        assert ("completed", request.leads) == (completed.event, completed.delivered)


async def _nobody_is_needed(system: RunningSystem) -> None:
    assert set() == await _values(system, "SELECT saga_id FROM sagas WHERE status = 'parked'")
    assert set() == await _values(system, "SELECT reason FROM dead_letters")
    assert [] == [event for event in system.upstream.heard if event.event == "parked"]


async def _values(system: RunningSystem, query: str) -> set[Any]:
    return {row[0] for row in await system.sql.fetch(query)}
