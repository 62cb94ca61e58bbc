"""Tenants that are added, and tenants that are taken back: what a dying process may leave of neither."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from contracts.ids import ADMINISTRATION
from contracts.requests import TenantRequested
from tests.crash.points_sabotage import sabotaged
from tests.crash.points_scenes import Scene
from tests.kit.provisioning import account_of, tenant_request

_ASKED = """
SELECT count(*) > 0 FROM saga_log l JOIN requests r USING (tenant_id, saga_id)
WHERE r.tenant_id = 'administration' AND r.request_id = $1 AND l.entry ->> 'step' = 'activate_tenant'
"""

_CANCEL = """
INSERT INTO orders (order_id, tenant_id, saga_id, kind, actor, reason)
SELECT gen_random_uuid(), tenant_id, saga_id, 'cancel', 'a test', 'it was a mistake' FROM requests
WHERE tenant_id = 'administration' AND request_id = $1
"""

_ACTIVE = "SELECT stripe_customer FROM tenants WHERE tenant_id = $1 AND status = 'active'"

_LEFT = """
SELECT (SELECT count(*) FROM tenants WHERE tenant_id = $1)
    + (SELECT count(*) FROM feature_flags WHERE tenant_id = $1)
    + (SELECT count(*) FROM discord_webhooks WHERE tenant_id = $1)
"""


@dataclass(slots=True)
class IsAdded(Scene):
    asked: TenantRequested = field(init=False)

    async def prepare(self) -> None:
        self.tenant = await self.system.tenant()
        self.asked = tenant_request(plan=self.tenant.tenant_id)

    async def act(self) -> None:
        await self.system.upstream.ask(self.asked)

    async def ends(self) -> None:
        heard = await self._outcome()
        assert "provisioned" == heard.event, f"{self.point}: {heard}"
        customer = await self.system.sql.fetchval(_ACTIVE, self.asked.new_tenant)
        assert {customer: 1} == await account_of(self.system, self.asked.new_tenant), self.point

    async def _outcome(self) -> Any:
        return await self.system.upstream.wait_for(
            lambda event: (
                (event.tenant_id, event.request_id) == (ADMINISTRATION, self.asked.request_id)
                and event.event in {"provisioned", "failed", "refused", "parked"}
            )
        )


@dataclass(slots=True)
class IsTakenBack(IsAdded):
    """It cannot be activated, and is cancelled. The process may die before it comes so far."""

    cancelling: "asyncio.Task[None]" = field(init=False)

    async def prepare(self) -> None:
        await IsAdded.prepare(self)
        await sabotaged(self.system.sql, "UPDATE ON tenants", self.asked.new_tenant)

    async def act(self) -> None:
        await IsAdded.act(self)
        self.cancelling = asyncio.create_task(self._cancel())

    async def _cancel(self) -> None:
        await self.system.until_sql(_ASKED, self.asked.request_id)
        await self.system.sql.execute(_CANCEL, self.asked.request_id)

    async def ends(self) -> None:
        await self.cancelling
        heard = await self._outcome()
        assert "failed" == heard.event, f"{self.point}: {heard}"
        assert 0 == await self.system.sql.fetchval(_LEFT, self.asked.new_tenant), self.point
        assert {} == await account_of(self.system, self.asked.new_tenant), self.point
