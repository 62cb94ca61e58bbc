"""Where a saga stands, and whether that allows what an operator wants: the rules of the machine, asked before
anything is written, with the reason in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from orchestrator.core.definition import Saga
from orchestrator.core.log import Ended, Entry, ReplayOrdered, ResolvedByHand
from orchestrator.core.orders import can_cancel, can_resolve
from orchestrator.core.state import State
from orchestrator.operate.errors import NotFound, Refused
from orchestrator.operate.timeline import queue_of
from orchestrator.sagas import sagas
from orchestrator.store.codec import read_entry, read_request, read_state
from orchestrator.store.statements import Statements

_SAGA = "SELECT saga, version, request::text, state::text FROM sagas WHERE tenant_id = $1 AND saga_id = $2"

ENDS = {"completed": "completed", "rolled_back": "was rolled back"}


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    tenant_id: str
    saga_id: UUID
    saga: Saga
    state: State
    log: Sequence[Entry]

    @property
    def queue(self) -> str:
        """Of the step that it is at."""
        return queue_of(self.saga, self.state.step or "", self.state.direction)

    @property
    def place(self) -> tuple[str | None, str, int]:
        return self.state.step, self.state.direction, self.state.attempt

    @property
    def told(self) -> dict[str, Any]:
        """For the audit."""
        return {"status": self.state.status, "step": self.state.step, "direction": self.state.direction}

    def expect(self, kind: Literal["cancel", "replay", "resolve"], verdict: str | None = None) -> None:
        """Raises Refused for what the machine would refuse."""
        match kind:
            case "cancel":
                allowed = can_cancel(self.state)
            case "replay":
                allowed = self.state.status == "parked"
            case "resolve":
                allowed = can_resolve(self.saga, self.state, verdict or "done")
        if not allowed:
            raise Refused(f"refused: {self.words(kind)}")

    def words(self, kind: str) -> str:
        """Why something is not possible any more, or not yet."""
        state = self.state
        if state.status == "parked":
            return f"the saga is parked at {self.queue}: {self._parked(kind)}"
        if isinstance(last := self.log[-1], Ended):
            return f"the saga {ENDS[last.outcome]} at {last.at:%Y-%m-%d %H:%M:%S}"
        if kind == "cancel" and state.pivoted:
            return f"the saga is past its pivot, and {state.status} at {self.queue}: ask for a refund"
        if kind == "cancel" and state.stop is not None:
            return f"the saga is to be stopped already, and {state.status} at {self.queue}"
        where = f"the saga is {state.status}" + (f" at {self.queue}" if state.step else "")
        return f"{where}{self._by_hand()}"

    def _parked(self, kind: str) -> str:
        if kind == "cancel":
            return "its pivot has happened, or it is turning back already"
        if self.state.direction == "undo":
            return "an undo can only be settled as done"
        return "only a pivot can be settled as not done, for there is no way back from what follows it"

    def _by_hand(self) -> str:
        """Who moved it last, if anybody did."""
        for entry in reversed(self.log):
            match entry:
                case ReplayOrdered():
                    return f": it was replayed by {entry.by} at {entry.at:%Y-%m-%d %H:%M:%S}"
                case ResolvedByHand():
                    return f": it was settled by {entry.by} at {entry.at:%Y-%m-%d %H:%M:%S}"
                case _:
                    pass
        return ""


async def stands(connection: Any, tenant_id: str, saga_id: UUID) -> At:
    """Raises NotFound, and Refused for a saga of a version that this release does not know."""
    record = await connection.fetchrow(_SAGA, tenant_id, saga_id)
    if record is None:
        raise NotFound(f"tenant {tenant_id} has no saga {saga_id}")
    definition = sagas().get((record["saga"], record["version"]))
    if definition is None:
        version = f"{record['saga']} v{record['version']}"
        raise Refused(f"this release does not know {version}: use the tool of a newer release")
    log = await Statements(connection).fetch("history", tenant_id, saga_id)
    return At(
        tenant_id=tenant_id,
        saga_id=saga_id,
        saga=definition,
        state=read_state(record["state"], read_request(record["request"])),
        log=[read_entry(each["entry"]) for each in log],
    )
