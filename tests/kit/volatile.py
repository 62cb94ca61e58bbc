"""Sagas whose effects are kept in memory, by a clock that is turned by hand."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from contracts.messages import Command
from steps.runtime.effects_memory import VolatileMemory


class Drafts:
    """What steps leave behind, each piece by the saga that it is for."""

    def __init__(self, sagas: tuple[UUID, ...] = ()) -> None:
        self.sagas = sagas

    def copy(self) -> "Drafts":
        return Drafts(self.sagas)


class VolatileWorld:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.sagas: set[tuple[str, UUID]] = set()
        self.memory = VolatileMemory(Drafts(), lambda: self.now, lambda *key: key in self.sagas)

    async def saga(self, tenant_id: str) -> UUID:
        saga_id = uuid4()
        self.sagas.add((tenant_id, saga_id))
        return saga_id

    async def go_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def outside(self, each: Command) -> dict[str, str]:
        rows = self.memory.tables.effects
        return rows[each.tenant_id, each.saga_id, each.step, each.direction].outside

    @property
    def drafts(self) -> list[UUID]:
        """As committed."""
        content = self.memory.tables.content
        assert isinstance(content, Drafts)
        return list(content.sagas)
