"""The step side's durable memory, as the runtime needs it: rows of effects, always locked before anything is
written for a step. `effects_postgres` and `effects_memory` implement it and pass one shared suite."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts.messages import Command
from contracts.outcomes import Outcome
from steps.runtime.ruling import Effect
from steps.runtime.step import Connection

NO_SAGA = "the saga does not exist for this tenant"


class NoSaga(Exception):
    def __init__(self) -> None:
        super().__init__(NO_SAGA)


@dataclass(frozen=True, slots=True)
class Start:
    starts: int
    """How often this attempt has now been begun without an answer."""
    run: int
    """Of this beginning: no other one of the same step, saga and direction has it."""


class Effects(Protocol):
    """The rows of effects within one transaction."""

    @property
    def connection(self) -> Connection:
        """What step functions write on: it commits with the rows, or not at all."""
        ...

    def of(self, tenant_id: str) -> AbstractAsyncContextManager[None]:
        """A part of a transaction that began for nobody. It works for this tenant; if it raises, nothing of
        it stays."""
        ...

    async def lock(self, commands: Sequence[Command]) -> dict[UUID, Effect]:
        """Makes and locks the rows of one tenant's commands, all of one step and direction. An undo locks its
        step's row as well. Raises NoSaga for a saga that is not this tenant's; then the transaction is
        lost."""
        ...

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        """Commits with the effects they speak of. A Done undo forbids its step for ever, had it run or
        not."""
        ...

    async def owe(self, commands: Sequence[Command]) -> None:
        """Remembers that a later job must answer these."""
        ...

    async def mark_started(self, command: Command, *, resumed: bool = False) -> Start:
        """`resumed`: the same process begins again what it had begun before, so nobody died in between."""
        ...

    async def unmark_started(self, command: Command, run: int) -> None:
        """An orderly interruption is no sign of poison, also if another run took over meanwhile: that one
        goes on."""
        ...

    async def is_running(self, command: Command) -> bool:
        """Whether this very attempt was begun less than its time limit ago, and not answered or
        interrupted."""
        ...

    async def note_outside(self, command: Command, outside: dict[str, str]) -> None:
        """Keeps ids that outside worlds gave to what this step did."""
        ...


class Memory(Protocol):
    def transaction(
        self, tenant_id: str | None = None, *, name: str | None = None
    ) -> AbstractAsyncContextManager[Effects]:
        """Leaving it commits; an exception rolls everything back. Raises what `AWAY` and `AGAIN` list. `name`
        is for crash points; only tests leave it out."""
        ...
