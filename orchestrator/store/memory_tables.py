"""The rows of the store in memory. JSON is kept as text, so that what cannot be stored fails here too."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from orchestrator.core.state import State, Status
from orchestrator.store import codec
from orchestrator.store.admission import Remembered, RequestKey
from orchestrator.store.port import Change, EventOut, Letter, Order, Refusal, SagaKey, SagaVersion, Stored
from orchestrator.store.wake import needed_at, next_wake


@dataclass(frozen=True, slots=True)
class Tenant:
    status: str
    sagas_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRow:
    saga: str
    version: int
    request_id: str
    request_text: str
    state_text: str
    status: Status
    in_flight: bool
    wake_at: datetime | None
    created_at: datetime
    log: tuple[str, ...]

    @property
    def saga_version(self) -> SagaVersion:
        return self.saga, self.version

    def state(self) -> State:
        return codec.read_state(self.state_text, codec.read_request(self.request_text))

    def stored(self, key: SagaKey) -> Stored:
        return Stored(
            key=key,
            saga=self.saga,
            version=self.version,
            request_id=self.request_id,
            entries=len(self.log),
            state=self.state(),
        )

    def woken_at(self, wake_at: datetime | None) -> "SagaRow":
        return replace(self, wake_at=wake_at)


def new_row(change: Change) -> SagaRow:
    return SagaRow(
        saga=change.before.saga,
        version=change.before.version,
        request_id=change.before.request_id,
        request_text=codec.request_text(change.state.request),
        state_text=codec.state_text(change.state),
        status=change.state.status,
        in_flight=change.in_flight,
        wake_at=needed_at(change.state),
        created_at=change.entries[0].at,
        log=tuple(codec.entry_text(entry) for entry in change.entries),
    )


def moved_row(row: SagaRow, change: Change) -> SagaRow:
    return replace(
        row,
        state_text=codec.state_text(change.state),
        status=change.state.status,
        in_flight=change.in_flight,
        wake_at=next_wake(old=row.wake_at, was=row.status, state=change.state),
        log=(*row.log, *(codec.entry_text(entry) for entry in change.entries)),
    )


@dataclass(slots=True)
class Tables:
    tenants: dict[str, Tenant] = field(default_factory=dict)
    requests: dict[RequestKey, Remembered] = field(default_factory=dict)
    sagas: dict[SagaKey, SagaRow] = field(default_factory=dict)
    events: dict[UUID, tuple[EventOut, datetime]] = field(default_factory=dict)
    orders: dict[UUID, tuple[Order, str | None]] = field(default_factory=dict)
    letters: dict[tuple[str, str], Letter] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def copy(self) -> "Tables":
        return Tables(
            tenants=dict(self.tenants),
            requests=dict(self.requests),
            sagas=dict(self.sagas),
            events=dict(self.events),
            orders=dict(self.orders),
            letters=dict(self.letters),
            refusals=list(self.refusals),
        )

    def flying(self) -> Counter[str]:
        """Sagas in flight by tenant."""
        return Counter(tenant_id for (tenant_id, _), row in self.sagas.items() if row.in_flight)
