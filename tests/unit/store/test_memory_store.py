"""The store in memory keeps the promises of a store."""

from typing import Literal
from uuid import UUID

import pytest

from orchestrator.sagas import sagas
from orchestrator.store.memory import MemoryStore
from orchestrator.store.port import Order
from tests.kit.store_suite import StoreSuite
from tests.kit.store_world import NOON, World


class MemoryWorld:
    def __init__(self) -> None:
        self.store = MemoryStore(lambda: NOON, versions=sagas())

    async def add_tenant(
        self, tenant_id: str, *, status: Literal["active", "suspended"] = "active", sagas_in_flight: int = 50
    ) -> None:
        self.store.add_tenant(tenant_id, status=status, sagas_in_flight=sagas_in_flight)

    async def add_order(self, order: Order) -> None:
        await self.store.add_order(order)

    async def order_result(self, order_id: UUID) -> str | None:
        return self.store.order_result(order_id)

    async def letters(self) -> list[tuple[str, str, str]]:
        return sorted((letter.queue, letter.message_id, letter.status) for letter in self.store.letters())


@pytest.fixture
def world() -> World:
    return MemoryWorld()


class TestMemoryStore(StoreSuite):
    pass
