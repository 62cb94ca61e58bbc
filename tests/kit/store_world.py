"""A store with what surrounds it, and sagas driven through it by real news."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from contracts.outcomes import Done, Outcome, Rejected
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry
from orchestrator.core.machine import decide
from orchestrator.core.news import Accept, News, Replied, Start
from orchestrator.core.state import State, evolve
from orchestrator.sagas.lead import LEAD
from orchestrator.store.errors import LogConflict
from orchestrator.store.port import Admitted, Change, Group, Incoming, Letter, Order, SagaKey, Store, Stored

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


class World(Protocol):
    @property
    def store(self) -> Store: ...

    async def add_tenant(
        self, tenant_id: str, *, status: Literal["active", "suspended"] = "active", sagas_in_flight: int = 50
    ) -> None: ...

    async def add_order(self, order: Order) -> None: ...

    async def order_result(self, order_id: UUID) -> str | None: ...

    async def history(self, key: SagaKey) -> list[Entry]:
        """The whole log of a saga; nothing when there is none."""
        ...

    async def letters(self) -> list[tuple[str, str, str]]:
        """(queue, message_id, status) of all dead letters, in this order."""
        ...

    async def refusals(self) -> list[tuple[str, str, str]]:
        """(tenant_id, routing_key, user) of those that were refused and audited."""
        ...


def saga_id(number: int) -> UUID:
    """Ids grow with time, as real ones do."""
    return UUID(int=number)


def incoming(
    number: int, *, tenant: str = "acme", name: str | None = None, content: bytes = b"a"
) -> Incoming:
    return Incoming(
        tenant_id=tenant,
        saga="lead",
        request_id=name or f"r-{number}",
        content_hash=content,
        saga_id=saga_id(number),
    )


def change(saga: Saga, before: Stored, *news: News) -> Change:
    """What the machine makes of news, one after the other."""
    state, entries = before.state, list[Entry]()
    for item in news:
        for entry in decide(saga, state, item):
            entries.append(entry)
            state = evolve(saga, state, entry)
    flying = state.status in {"running", "unwinding"}
    return Change(before=before, entries=tuple(entries), state=state, in_flight=flying)


def accepted(request: Incoming, *, at: datetime = NOON, saga: Saga = LEAD) -> Change:
    asked = {"leads": 5, "criteria": "makers of bicycles", "request_id": request.request_id}
    before = Stored(
        key=(request.tenant_id, request.saga_id),
        saga=saga.name,
        version=saga.version,
        request_id=request.request_id,
        entries=0,
        state=State(),
    )
    return change(saga, before, Accept(at=at, request=asked))


async def begin(world: World, *requests: Incoming, at: datetime = NOON, saga: Saga = LEAD) -> list[SagaKey]:
    """Accepted, waiting for their turn."""
    async with world.store.group() as group:
        answers = await group.admit(requests)
        keys = [answer.key for answer in answers if isinstance(answer, Admitted)]
        assert len(requests) == len(keys)
        await group.save([accepted(request, at=at, saga=saga) for request in requests])
    return keys


async def tell(world: World, keys: Sequence[SagaKey], *news: News) -> None:
    """The same news for several sagas, in one group."""
    async with world.store.group() as group:
        await tell_in(group, keys, *news)


async def until_told(world: World, keys: Sequence[SagaKey], *news: News) -> None:
    """Again and again, while others are faster."""
    while True:
        try:
            return await tell(world, keys, *news)
        except LogConflict:
            continue


async def tell_in(group: Group, keys: Sequence[SagaKey], *news: News) -> None:
    loaded = await group.load(keys)
    await group.save([change(LEAD, loaded[key], *news) for key in keys])


def start(at: datetime = NOON) -> Start:
    return Start(at=at)


def done(step: str, at: datetime = NOON, attempt: int = 1) -> Replied:
    return replied(step, Done(facts={"leads": 5}), at, attempt)


def rejected(step: str, at: datetime = NOON, attempt: int = 1) -> Replied:
    return replied(step, Rejected(reason="no", error="Refused"), at, attempt)


def replied(step: str, outcome: Outcome, at: datetime = NOON, attempt: int = 1) -> Replied:
    return Replied(at=at, step=step, direction="do", attempt=attempt, outcome=outcome, draw=0.5)


def letter(number: int, *, key: SagaKey | None = None, message_id: str | None = None) -> Letter:
    return Letter(
        dead_letter_id=UUID(int=number),
        queue="record_usage",
        message_id=message_id or f"m-{number}",
        error="Spent",
        reason=f"attempt {number} was the last",
        message=b"\x00\xff",
        tenant_id=key[0] if key else None,
        saga_id=key[1] if key else None,
    )
