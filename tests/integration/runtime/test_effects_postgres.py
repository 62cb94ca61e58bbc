"""The step side's memory on a real Postgres keeps the promises of one."""

import json
from uuid import UUID

import pytest

from contracts.messages import Command
from steps.runtime.effects_postgres import PostgresMemory
from tests.kit.effects_suite import EffectsSuite, World
from tests.kit.tenants_at_work import TenantsAtWork


class PostgresWorld:
    def __init__(self, work: TenantsAtWork) -> None:
        self._work = work

    @property
    def memory(self) -> PostgresMemory:
        return self._work.memory

    async def saga(self, tenant_id: str) -> UUID:
        return await self._work.saga(tenant_id)

    async def go_by(self, seconds: float) -> None:
        earlier = "UPDATE effects SET started_at = started_at - make_interval(secs => $1)"
        await self._work.admin.execute(earlier, seconds)

    async def outside(self, each: Command) -> dict[str, str]:
        query = "SELECT outside::text FROM effects WHERE saga_id = $1 AND direction = $2"
        found: dict[str, str] = json.loads(
            await self._work.admin.fetchval(query, each.saga_id, each.direction)
        )
        return found


@pytest.fixture(name="world")
def _world(world: TenantsAtWork) -> World:
    return PostgresWorld(world)


class TestPostgresMemory(EffectsSuite):
    pass
