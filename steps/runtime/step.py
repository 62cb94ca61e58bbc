"""What a step is to the runtime: functions that do and undo, and how they are to be run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.outcomes import Outcome
from contracts.process.postgres import Database


class Owing:
    """In place of an outcome: the step remembers that it owes an answer, and a later job gives it."""


OWING = Owing()


@dataclass(frozen=True, slots=True)
class Noted:
    """An outcome, and the ids of outside worlds that are to be kept with it."""

    outcome: Outcome
    outside: Mapping[str, str]


Said = Outcome | Owing | Noted
"""Of one command, by what runs it in a batch."""

Connection = Any
"""Inside a transaction, in the name of a tenant: asyncpg's execute, fetch, fetchrow and fetchval."""

BatchFunction = Callable[[Connection, Sequence[Command]], Awaitable[Sequence[Said]]]
"""Commands of one tenant in one transaction; one word on each, in order. All that it writes commits together
with the answers, or not at all; that its rows of effects are there by then is not said. Raises StepError
subclasses or database errors for the whole batch; then every command is run alone."""

AnnounceFunction = Callable[[Connection, Sequence[Command]], Awaitable[Sequence[Event]]]
"""Events to publish after the commit of these Done commands and before their replies, and again whenever
the answer is repeated: derived from what is stored, with stable ids."""


class Attempt(Protocol):
    """One attempt of a step that calls an outside world."""

    @property
    def client(self) -> Any: ...

    def transaction(
        self, name: str = "checkpoint", /, **outside: str
    ) -> AbstractAsyncContextManager[Connection]:
        """A checkpoint: one transaction that first locks the effects row. `outside` ids are kept in it.
        `name` tells it apart from the step's others, for crash points.
        Raises Fenced when the step was undone, answered, or taken over by another attempt: stop at once."""
        ...

    def note(self, name: str = "note", /) -> AbstractAsyncContextManager[Connection]:
        """A transaction of the tenant that writes no effect of the step, so it is allowed even when fenced:
        for records of what was spent."""
        ...


SingleFunction = Callable[[Command, Attempt], Awaitable[Outcome]]
"""One attempt. Returns its outcome or raises StepError subclasses; anything else it raises is Unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Only Postgres is touched: a whole bundle in one transaction."""

    run: BatchFunction
    announce: AnnounceFunction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """An outside world is called: one command a message, several of them side by side."""

    run: SingleFunction
    side_by_side: int | None = None
    """In one process; None = as its settings say."""


Work = Batch | Single


class Worker(Protocol):
    """What a step's background job may use."""

    @property
    def database(self) -> Database: ...
    @property
    def client(self) -> Any: ...
    @property
    def time_scale(self) -> float: ...
    @property
    def visits(self) -> int:
        """Tenants that may be visited at a time."""
        ...

    async def wake(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as the step has taken a command, or is stopping."""
        ...

    async def answer(self, replies: Sequence[Reply]) -> None:
        """Returns when the broker has confirmed the replies. Raises Unconfirmed or Unroutable."""
        ...


class Job(Protocol):
    """Background work of a step."""

    async def __call__(self, worker: Worker) -> None:
        """One round; called again and again until the process stops. What it raises is logged and the next
        round comes a little later."""
        ...

    async def ended(self) -> None:
        """Returns when what earlier rounds began has ended. Called when the process stops."""
        ...


def no_client() -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a saga. Its name is its queue, its module and its row in the definition."""

    name: str
    do: Work
    undo_name: str | None = None
    undo: Work | None = None
    client: Callable[[], AbstractAsyncContextManager[Any]] = no_client
    """Opens what the step needs of an outside world, once per process."""
    job: Job | None = None
    hears: tuple[str, ...] = ()
    """Upstream events (by name, of all tenants) that the step also wants to hear."""
    heard: Callable[[Connection, Event], Awaitable[None]] | None = None
    """Handles one of them, in a transaction of its tenant. It may come more than once."""
    settings: tuple[Callable[[], object], ...] = ()
    """Read when the process starts, so that wrong ones stop it there. They raise BadSettings."""
    expects: Callable[[Database, asyncio.Event], Awaitable[None]] | None = None
    """What must be true of the database before the step takes anything. Raises BadSettings, which ends the
    process, and Stopped."""
    measure: Callable[[Database], Awaitable[None]] | None = None
    """Sets gauges; called every few seconds."""

    def work(self) -> dict[str, Work]:
        """What is done for each of the step's queues."""
        queues: dict[str, Work] = {self.name: self.do}
        if self.undo_name and self.undo:
            queues[self.undo_name] = self.undo
        return queues


class Fenced(Exception):
    """The step was undone, answered or taken over meanwhile: this attempt must not write any more."""

    def __init__(self, saga_id: UUID) -> None:
        super().__init__(f"saga {saga_id}: {self.__doc__}")
