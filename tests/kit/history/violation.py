"""What a rule says when it was broken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from orchestrator.store.port import SagaKey
from tests.kit.history.records import History


@dataclass(frozen=True, slots=True)
class Violation:
    """`saga_id` is None when it is the tenant as a whole that does not add up."""

    rule: str
    tenant_id: str
    saga_id: UUID | None
    what: str

    def __str__(self) -> str:
        who = self.tenant_id if self.saga_id is None else f"{self.tenant_id} {self.saga_id}"
        return f"{self.rule}: {who}: {self.what}"


Finding = tuple[SagaKey | str, str]
"""Which saga, or which tenant, and what is wrong with it."""

Rule = Callable[[History], Iterator[Finding]]
