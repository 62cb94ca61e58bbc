"""A language model as the steps see it, whoever runs it: one call, its answer or what is known without."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from weakref import WeakValueDictionary

from contracts.errors import StepRejected, StepTransient


@dataclass(frozen=True, slots=True)
class Prompt:
    """`system` is ours; `user` may carry what a tenant wrote, as data."""

    system: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    text: str
    stop_reason: str | None
    """As the provider names it. None of them is an error here: look at it before reading `text`."""
    model: str
    """The one that answered, which may be a dated release of the one asked for."""
    usage: Mapping[str, Any]
    """Tokens, as the provider reports them."""
    request_id: str | None
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What is known of a call that brought no answer. It may have used tokens all the same."""

    model: str
    request_id: str | None
    started_at: datetime
    seconds: float
    timed_out: bool = False


class ModelAway(StepTransient):
    """The model gave no answer; another call may get one."""

    def __init__(
        self, reason: str, report: CallReport, *, error: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(reason, error=error, retry_after=retry_after)
        self.report = report


class ModelRefused(StepRejected):
    """The model's provider will not answer this request, however often it is asked."""

    def __init__(self, reason: str, report: CallReport, *, error: str | None = None) -> None:
        super().__init__(reason, error=error)
        self.report = report


class Slots:
    """Bounds the calls of this process: `total` side by side, and of a tenant as many as its caller says.

    A call waits for its tenant's turn first: a tenant with many requests never fills the common queue.
    """

    def __init__(self, total: int) -> None:
        self._total = asyncio.Semaphore(total)
        # Keyed by the limit too: a changed one holds for the attempts that begin after the change, and the
        # database counts for all. Weak, so that a tenant is forgotten when the last of its calls has ended.
        self._tenants: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, tenant_id: str, side_by_side: int, deadline: float) -> AsyncIterator[None]:
        """Raises TimeoutError when `deadline` (on the event loop's clock) comes before the turn."""
        tenant = self._tenants.setdefault((tenant_id, side_by_side), asyncio.Semaphore(side_by_side))
        async with AsyncExitStack() as held:
            async with asyncio.timeout_at(deadline):
                await held.enter_async_context(tenant)
                await held.enter_async_context(self._total)
            yield


class Model(Protocol):
    @property
    def slots(self) -> Slots: ...

    @property
    def call_timeout(self) -> float:
        """Seconds that one call may take."""
        ...

    async def call(
        self, prompt: Prompt, schema: Mapping[str, Any], max_tokens: int, *, within: float | None = None
    ) -> ModelAnswer:
        """One call, never repeated in here. `schema` is the JSON Schema of the answer's text; the model may
        still break it. `within` (seconds) may only shorten the client's own limit.
        Raises ModelAway and ModelRefused; neither quotes the prompt."""
        ...
