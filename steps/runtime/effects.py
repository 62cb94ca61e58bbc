"""The step side's durable memory, as the runtime needs it: rows of effects, locked before anything is written
for a step, or made with its first answer. `effects_postgres` and `effects_memory` implement it and pass one
shared suite."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from contracts.messages import Command
from contracts.outcomes import Outcome
from steps.runtime.ruling import Effect
from steps.runtime.step import Connection, Owing

NO_SAGA = "the saga does not exist for this tenant"


class NoSaga(Exception):
    def __init__(self) -> None:
        super().__init__(NO_SAGA)


class NotFirst(Exception):
    """There is a row of a command already: it was asked, or forbidden, before."""

    def __init__(self) -> None:
        super().__init__("it was asked, or forbidden, before")


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
        """What step functions write on: it commits with the rows, or not at all. Whose turn it was when it
        was handed out, in their name is asked what is asked on it."""
        ...

    def work_for(self, tenant_id: str | None) -> None:
        """In a transaction of several tenants: from now on it is this one's alone, and the others are out of
        reach. With None it is nobody's again: then rows of effects of all of them are at hand, and nothing
        else."""
        ...

    async def lock(self, commands: Sequence[Command]) -> list[Effect]:
        """Makes and locks the rows of commands, all of one step and direction, and says what was known of
        each, in order. An undo locks its step's row as well. Raises NoSaga for a saga that is not its
        tenant's; then the transaction is lost."""
        ...

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        """Of one step and direction. Commits with the effects they speak of. A Done undo forbids its step for
        ever, had it run or not."""
        ...

    async def owe(self, commands: Sequence[Command]) -> None:
        """Remembers that a later job must answer these."""
        ...

    async def save_first(self, answered: Sequence[tuple[Command, Outcome | Owing]]) -> None:
        """Makes the rows of commands that were not locked before, all to do one step, with their answers, or
        as owed. Raises NotFirst if there is a row of any of them already (should another transaction just be
        making one, it waits for its end), and NoSaga; then the transaction is lost."""
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

    async def note_outside(self, command: Command, outside: Mapping[str, str]) -> None:
        """Keeps ids that outside worlds gave to what this step did."""
        ...


class Memory(Protocol):
    def transaction(self, *tenants: str, name: str | None = None) -> AbstractAsyncContextManager[Effects]:
        """One of one tenant works for it, one of several for nobody at first. Leaving it commits; an
        exception rolls everything back. Raises what `AWAY` and `AGAIN` list. `name` is for crash points; only
        tests leave it out."""
        ...
