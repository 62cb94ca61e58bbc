"""The step side's memory in memory keeps the promises of one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from contracts.messages import Command
from steps.runtime.effects_memory import VolatileMemory
from tests.kit.effects_suite import EffectsSuite, World


class Nothing:
    def copy(self) -> "Nothing":
        return self


class MemoryWorld:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.sagas: set[tuple[str, UUID]] = set()
        self.memory = VolatileMemory(Nothing(), lambda: self.now, lambda *key: key in self.sagas)

    async def saga(self, tenant_id: str) -> UUID:
        saga_id = uuid4()
        self.sagas.add((tenant_id, saga_id))
        return saga_id

    async def go_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def outside(self, each: Command) -> dict[str, str]:
        rows = self.memory.tables.effects
        return rows[each.tenant_id, each.saga_id, each.step, each.direction].outside


@pytest.fixture
def world() -> World:
    return MemoryWorld()


class TestVolatileMemory(EffectsSuite):
    pass
