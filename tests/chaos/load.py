"""The closed load: so many orders are open at a time, and each that is answered makes room for the next one.

An order is a lead request and whatever its asker does besides: asking twice, cancelling, asking for a refund,
sending nonsense. All of that is drawn beforehand, from the seed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from contracts.names import request_key
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from tests.chaos.tenants import Tenant
from tests.chaos.upstream import Message, Upstream
from tests.kit.history.records import AskedRequest, HeardEvent
from tests.kit.history.upstream import asked_request

TRADES = ("bakeries", "dentists", "bicycle makers", "freight forwarders", "notaries", "breweries")
PLACES = ("Porto", "Antwerp", "Utrecht", "Gdansk", "Lyon", "Graz")
ANSWERS = frozenset({"completed", "refunded", "failed", "refused", "parked"})
BATCH = 64
SILENCE = 45.0
"""Seconds without an answer after which an asker asks again."""

NONSENSE = (
    b"not json",
    b"{}",
    b'{"v": 1, "type": "lead_requested", "tenant_id": "tenant-00", "request_id": "x", "leads": -1}',
    b'{"v": 1, "type": "lead_requested", "tenant_id": "tenant-01", "request_id": "\\u0000", "leads": 1}',
    b"\xff\xfe\x00",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`early_refund`: asked for right behind the request, when nobody can know what will come of it."""

    lead: LeadRequested
    twice: bool = False
    other_content: bool = False
    cancel: bool = False
    refunds: tuple[RefundRequested, ...] = ()
    early_refund: RefundRequested | None = None
    nonsense: bytes | None = None


def orders(tenants: Sequence[Tenant], chance: Random) -> Iterator[Order]:
    """Without end; the same orders for the same seed."""
    weights = [tenant.weight for tenant in tenants]
    number = 0
    while True:
        number += 1
        (tenant,) = chance.choices(tenants, weights)
        yield _order(tenant, f"r-{number:06}", chance)


def _order(tenant: Tenant, request_id: str, chance: Random) -> Order:
    leads = chance.choice((1, 1, 2, 2, 3, 3, 4, 5, 5, 8))
    if chance.random() < 0.01:
        leads = chance.randint(26, 60)  # several parts, in answers and in events
    lead = LeadRequested(
        tenant_id=tenant.tenant_id,
        request_id=request_id,
        criteria=f"{chance.choice(TRADES)} in {chance.choice(PLACES)} ({request_id})",
        leads=leads,
    )
    kind = chance.random()
    return Order(
        lead=lead,
        twice=chance.random() < 0.03,
        other_content=chance.random() < 0.005,
        cancel=kind < 0.03,
        early_refund=_refund(lead, "early", None) if 0.03 <= kind < 0.04 else None,
        refunds=_refunds(lead, chance) if 0.04 <= kind < 0.44 else (),
        nonsense=chance.choice(NONSENSE) if chance.random() < 0.003 else None,
    )


def _refunds(lead: LeadRequested, chance: Random) -> tuple[RefundRequested, ...]:
    """A part, the rest, both; or more than there is."""
    part = chance.randint(1, lead.leads)
    if chance.random() < 0.4:
        return (_refund(lead, "a", part), _refund(lead, "b", None), _refund(lead, "c", lead.leads))
    return (_refund(lead, "a", part if chance.random() < 0.5 else None),)


def _refund(lead: LeadRequested, name: str, leads: int | None) -> RefundRequested:
    return RefundRequested(
        tenant_id=lead.tenant_id,
        refund_id=f"{lead.request_id}-{name}",
        request_id=lead.request_id,
        leads=leads,
        reason=f"some of them have closed ({name})",
    )


AnyRequest = LeadRequested | RefundRequested | CancelRequested


@dataclass(slots=True)
class Open:
    """An order that is not answered yet. `awaited` are the requests whose answers are missing: the lead's by
    the name None, refunds by theirs."""

    order: Order
    asked_at: float
    awaited: dict[str | None, AnyRequest]


@dataclass(slots=True)
class Load:
    """`window`: orders that are open at a time."""

    orders: Iterator[Order]
    window: int
    asked: set[AskedRequest] = field(default_factory=set)
    """What the broker confirmed."""
    answers: Counter[str] = field(default_factory=Counter)
    open: dict[tuple[str, str], Open] = field(default_factory=dict)
    outbox: list[AnyRequest | bytes] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def answered(self) -> int:
        return self.answers.total()

    def hears(self, event: HeardEvent) -> None:
        """An answer moves its order on."""
        waiting = self.open.get((event.tenant_id, event.request_id))
        if waiting is None or event.name not in ANSWERS or event.refund_id not in waiting.awaited:
            return
        self.answers[event.name] += 1
        del waiting.awaited[event.refund_id]
        if event.name == "completed":
            # All at once: together they must not take back more than there is.
            waiting.awaited |= {refund.refund_id: refund for refund in waiting.order.refunds}
            waiting.asked_at = time.monotonic()
            self.outbox += waiting.order.refunds
        if not waiting.awaited:
            del self.open[event.tenant_id, event.request_id]
        self.news.set()

    async def run(self, upstream: Upstream, until: float) -> None:
        """Keeps the window full until that moment (of time.monotonic)."""
        while time.monotonic() < until:
            self._refill()
            self._remind()
            await self._send(upstream)
            await self._wait(0.25)

    async def drain(self, upstream: Upstream, until: float) -> bool:
        """No new orders; whether all open ones were answered in time."""
        while self.open and time.monotonic() < until:
            self._remind()
            await self._send(upstream)
            await self._wait(0.25)
        return not self.open

    async def _wait(self, seconds: float) -> None:
        self.news.clear()
        if self.outbox:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            return

    def _refill(self) -> None:
        while len(self.open) < self.window:
            order = next(self.orders)
            lead = order.lead
            self.open[lead.tenant_id, lead.request_id] = Open(order, time.monotonic(), {None: lead})
            self.outbox += _messages(order)

    def _remind(self) -> None:
        """Whoever hears nothing asks again: the same request is the same saga."""
        now = time.monotonic()
        for waiting in self.open.values():
            if now - waiting.asked_at > SILENCE:
                waiting.asked_at = now
                self.outbox += waiting.awaited.values()

    async def _send(self, upstream: Upstream) -> None:
        while self.outbox:
            batch = self.outbox[:BATCH]
            await upstream.publish([_message(request) for request in batch])
            self.asked |= {asked_request(request) for request in batch if not isinstance(request, bytes)}
            del self.outbox[: len(batch)]


def _messages(order: Order) -> list[AnyRequest | bytes]:
    lead = order.lead
    wanted: list[AnyRequest | bytes] = [lead]
    if order.twice:
        wanted.append(lead)
    if order.other_content:
        wanted.append(lead.model_copy(update={"criteria": "something else"}))
    if order.cancel:
        wanted.append(
            CancelRequested(tenant_id=lead.tenant_id, request_id=lead.request_id, reason="a mistake")
        )
    if order.early_refund:
        wanted.append(order.early_refund)
    if order.nonsense:
        wanted.append(order.nonsense)
    return wanted


def _message(request: AnyRequest | bytes) -> Message:
    if isinstance(request, bytes):
        return Message("tenant-00.lead_requested", request)
    return Message(request_key(request.tenant_id, request.type), request.model_dump_json().encode())
