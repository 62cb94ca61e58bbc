"""A history: what every party to it has on record, as plain values.

Whoever builds one leaves out what its world lacks: a field that is None was not recorded, and the rules that
need it have nothing to say; an empty one says that there was nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar
from uuid import UUID

from contracts.ids import Direction
from contracts.outcomes import Outcome
from orchestrator.core.log import Entry
from orchestrator.core.state import State, Status
from orchestrator.sagas import Sagas
from orchestrator.sagas import sagas as registered
from orchestrator.store.port import SagaKey


@dataclass(frozen=True, slots=True)
class Logged:
    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRow:
    """`state` is the saved fold, with its request; `log` in the order of `seq`."""

    key: SagaKey
    saga: str
    request_id: str
    status: Status
    version: int = 1
    state: State | None = None
    entries: int | None = None
    """The length of the log, as the saga's row has it."""
    log: tuple[Logged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    key: SagaKey
    step: str
    direction: Direction
    state: Literal["open", "done", "undone"]
    attempt: int
    answered: int
    answer: Outcome | None = None
    owed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCount:
    """Leads of one saga: delivered ones, and drafts that nobody has seen. What was discarded is gone."""

    key: SagaKey
    visible: int = 0
    drafts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """`leads` is negative for a reversal."""

    key: SagaKey
    ledger_id: UUID
    request_id: str
    kind: Literal["usage", "reversal"]
    leads: int
    event_name: str = "leads_delivered"
    original_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """Without an intent it is a credit, of which the meter hears nothing."""

    tenant_id: str
    ledger_id: UUID
    intent_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRow:
    tenant_id: str
    intent_id: UUID
    identifier: str
    customer: str
    value: int
    state: Literal["pending", "sending", "confirmed", "ambiguous", "missing", "rejected"]
    event_name: str = "leads_delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    key: SagaKey
    leads: int
    state: Literal["held", "settled", "released"]
    period: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    tenant_id: str
    used: int
    held: int
    period: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardEvent:
    """One event that upstream heard, however often. `leads`: of completed what was delivered, of refunded
    what was given back, of a leads_ready how many it brought; `part`, `parts`, `total` are of that too."""

    event_id: UUID
    name: str
    tenant_id: str
    request_id: str
    saga_id: UUID | None
    refund_id: str | None = None
    leads: int | None = None
    part: int = 0
    parts: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvent:
    event_id: UUID
    tenant_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    key: SagaKey | None
    """None for what belongs to no saga."""
    queue: str
    error: str
    status: Literal["open", "replayed", "resolved", "moot"]
    step: str | None = None
    direction: Direction | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRequest:
    """A request that the broker confirmed. `id` is the request's, or the refund's."""

    tenant_id: str
    kind: Literal["lead", "refund", "cancel"]
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTotal:
    """The vendor's own record: the net of all events that took effect."""

    customer: str
    event_name: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvent:
    """`times`: how often the vendor counted an event of this identifier."""

    customer: str
    identifier: str
    value: int
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """What our side has on record of one saga's calls: begun ones of which nobody knows the end, and those of
    which it is known."""

    key: SagaKey
    begun: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    key: SagaKey
    event: str
    state: Literal["waiting", "sending", "sent", "unknown", "given_up", "no_webhook"]
    said: int | None = None
    """How often the vendor has it in a message."""


@dataclass(frozen=True, kw_only=True)
class History:
    """`settled`: nothing is under way any more, so whatever had to happen in the end must have happened."""

    sagas: Sequence[SagaRow] = ()
    definitions: Sagas = field(default_factory=registered)
    """As they ran: with the waits that the system was given."""
    settled: bool = True
    effects: Sequence[EffectRow] | None = None
    leads: Sequence[LeadCount] | None = None
    ledger: Sequence[LedgerRow] | None = None
    carriers: Sequence[Carrier] | None = None
    intents: Sequence[IntentRow] | None = None
    holds: Sequence[Hold] | None = None
    quotas: Sequence[Quota] | None = None
    heard: Sequence[HeardEvent] | None = None
    waiting: Sequence[WaitingEvent] | None = None
    dead_letters: Sequence[DeadLetter] | None = None
    asked: Sequence[AskedRequest] | None = None
    meters: Sequence[MeterTotal] | None = None
    meter_events: Sequence[MeterEvent] | None = None
    model_calls: Sequence[ModelCalls] | None = None
    calls_at_vendor: int | None = None
    """Model calls that the vendor answered, whether the answer arrived or not."""
    notices: Sequence[Notice] | None = None

    @cached_property
    def by_key(self) -> Mapping[SagaKey, SagaRow]:
        return {saga.key: saga for saga in self.sagas}

    @cached_property
    def effects_of(self) -> Mapping[SagaKey, Sequence[EffectRow]]:
        return grouped((effect.key, effect) for effect in self.effects or ())

    @cached_property
    def leads_of(self) -> Mapping[SagaKey, LeadCount]:
        return {count.key: count for count in self.leads or ()}

    @cached_property
    def ledger_of(self) -> Mapping[SagaKey, Sequence[LedgerRow]]:
        return grouped((row.key, row) for row in self.ledger or ())

    @cached_property
    def hold_of(self) -> Mapping[SagaKey, Hold]:
        return {hold.key: hold for hold in self.holds or ()}

    @cached_property
    def heard_of(self) -> Mapping[SagaKey, Sequence[HeardEvent]]:
        return grouped(
            ((event.tenant_id, event.saga_id), event)
            for event in self.heard or ()
            if event.saga_id is not None
        )


K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return dict(found)
