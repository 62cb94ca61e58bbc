"""The load: requests of many tenants, each timed from when it was due until its end is heard."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import orjson

from contracts.names import Names, request_key
from tests.benchmarks.frames import Line, connected

ENDS = frozenset({"completed", "failed", "parked", "refused"})
PATIENCE = 300.0
"""Seconds without any news until a load gives up."""


class NotCompleted(RuntimeError):
    """A saga of the load did not complete: what was measured is void."""


@dataclass(slots=True)
class Load:
    """`awaited`: the event that ends a request for this load; `fields` are added to each request."""

    tenants: Sequence[str]
    exchange: str
    run: str
    awaited: str = "completed"
    fields: bytes = b'"criteria":"nothing","leads":10'
    started: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    """From each request until its end was heard, in the order of the ends."""
    line: Line = field(init=False)
    _numbers: "count[int]" = field(default_factory=count)
    _keep: int = 0
    """In flight: each end is followed by a new request while so many are wanted."""
    _more: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: Exception | None = None

    def heard(self, body: bytes) -> None:
        told = orjson.loads(body)
        for event in told.get("items", (told,)):
            if event["event"] == self.awaited or event["event"] in ENDS:
                self._ended(event)

    def _ended(self, event: dict[str, str]) -> None:
        began = self.started.pop(event["request_id"], None)
        if began is None:
            return  # it was heard already
        if event["event"] not in {self.awaited, "completed"}:
            self._failure = NotCompleted(f"{event['event']}: {event.get('reason', '')}")
        self.seconds.append(time.perf_counter() - began)
        self._news.set()
        if self._keep:
            if self._more == 0:
                # One write for all that ended together.
                asyncio.get_running_loop().call_soon(self._refill)
            self._more += 1

    def _refill(self) -> None:
        wanted, self._more = min(self._more, self._keep - len(self.started)), 0
        if wanted > 0:
            self.ask(wanted)

    def ask(self, wanted: int, due: float | None = None) -> None:
        """Publishes requests, round the tenants. `due`: when they should have been, if that is past."""
        began = time.perf_counter() if due is None else due
        self.line.publish(self.exchange, [self._request(began) for _ in range(wanted)])

    def _request(self, began: float) -> tuple[str, bytes]:
        number = next(self._numbers)
        tenant, request = self.tenants[number % len(self.tenants)], f"{self.run}-{number}"
        self.started[request] = began
        body = b'{"v":1,"type":"lead_requested","tenant_id":"%s","request_id":"%s",%s}' % (
            tenant.encode(),
            request.encode(),
            self.fields,
        )
        return request_key(tenant, "lead_requested"), body

    # Ways of asking.

    async def keep(self, in_flight: int) -> None:
        """From now on so many are in flight; 0 lets what is in flight end."""
        self._keep = in_flight
        if in_flight > len(self.started):
            self.ask(in_flight - len(self.started))

    async def at_rate(self, each_second: float, seconds: float) -> None:
        """Evenly, however long the answers take. What is late counts from when it was due."""
        begin = time.perf_counter()
        for number in range(int(each_second * seconds)):
            due = begin + number / each_second
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            self.ask(1, due)

    async def passed(self, seconds: float, sagas: int) -> None:
        """Returns after `seconds`, once so many have ended in them. Raises NotCompleted and TimeoutError."""
        wanted = len(self.seconds) + sagas
        await asyncio.sleep(seconds)
        while len(self.seconds) < wanted:
            await self._any_news()

    async def ended(self) -> None:
        """Returns when everything that was asked for has ended. Raises NotCompleted and TimeoutError."""
        while self.started:
            await self._any_news()

    async def _any_news(self) -> None:
        self._news.clear()
        await asyncio.wait_for(self._news.wait(), PATIENCE)
        self.check()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure


@asynccontextmanager
async def loading(
    amqp_url: str,
    prefix: str,
    tenants: Sequence[str],
    run: str,
    awaited: str = "completed",
    fields: bytes = b'"criteria":"nothing","leads":10',
) -> AsyncIterator[Load]:
    """The system has to be ready: its exchanges exist."""
    names = Names(prefix)
    load = Load(tenants, names.requests_exchange, run, awaited, fields)
    load.line = await connected(amqp_url, load.heard)
    try:
        await load.line.listen(names.events_exchange, [f"*.{event}" for event in sorted({*ENDS, awaited})])
        yield load
    finally:
        load.line.close()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below `percent` of them. NaN of none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else math.nan


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{percent} ms": 1000 * percentile(seconds, percent) for percent in (50, 95, 99)}
