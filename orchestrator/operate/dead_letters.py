"""Dead letters: what could not be carried out, or not be read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.names import REPLIES
from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import NotFound, Refused
from orchestrator.operate.find import expect_tenant
from orchestrator.operate.plain import rows

SPEAKING = frozenset(
    {"BrokerGaveUp", "Buried", "Forged", "GroupFailed", "NoSaga", "Unanswerable", "Unreadable", "WrongQueue"}
)
"""Errors whose reason says all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`times_seen`: how often it came to lie here; a delivery that was repeated after a crash counts, too."""

    dead_letter_id: UUID
    tenant_id: str | None
    saga_id: UUID | None
    saga: str | None
    step: str | None
    direction: str | None
    attempt: int | None
    queue: str
    routing_key: str | None
    error: str
    reason: str
    fingerprint: str
    status: str
    first_at: datetime
    last_at: datetime
    times_seen: int

    @property
    def why(self) -> str:
        """Why it lies here, in one sentence."""
        match self.error:
            case "Malformed":
                return f"not understood in {self.queue}: {self.reason}"
            case "Poison":
                return f"poison: {self.reason}"
            case error if error in SPEAKING:
                return self.reason
            case error:
                return f"{self.queue} was given up at attempt {self.attempt}: {self.reason} ({error})"

    @property
    def of_command(self) -> bool:
        """Whether what becomes of it is up to its saga."""
        return self.saga_id is not None and self.queue != REPLIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Letters of one fingerprint. `seen`: how often they came; `example`: the newest of them."""

    fingerprint: str
    queue: str
    error: str
    letters: int
    seen: int
    tenants: int
    first_at: datetime
    last_at: datetime
    example: UUID
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters. `step`: of a step, an undo or a queue; `since`: that came then or later."""

    tenant_id: str | None = None
    step: str | None = None
    error: str | None = None
    since: datetime | None = None
    everything: bool = False


_COLUMNS = """dead_letter_id, tenant_id, saga_id, saga, step, direction, attempt, queue, routing_key, error,
    reason, fingerprint, status, first_at, last_at, times_seen"""

_WANTED = """
WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR step = $2 OR queue = $2)
    AND ($3::text IS NULL OR error = $3) AND ($4::timestamptz IS NULL OR last_at >= $4)
    AND ($5::boolean OR status = 'open')
"""

_LIST = f"SELECT {_COLUMNS} FROM dead_letters {_WANTED} ORDER BY last_at DESC, dead_letter_id DESC LIMIT $6"  # noqa: S608 - constants of this file

_CAUSES = f"""
SELECT fingerprint, min(queue) AS queue, min(error) AS error, count(*)::int AS letters,
    sum(times_seen)::int AS seen, count(DISTINCT tenant_id)::int AS tenants, min(first_at) AS first_at,
    max(last_at) AS last_at, (array_agg(dead_letter_id ORDER BY last_at DESC))[1] AS example,
    (array_agg(reason ORDER BY last_at DESC))[1] AS reason
FROM dead_letters {_WANTED} GROUP BY fingerprint ORDER BY max(last_at) DESC, fingerprint LIMIT $6
"""  # noqa: S608 - constants of this file

_ONE = f"SELECT {_COLUMNS} FROM dead_letters WHERE dead_letter_id = $1"  # noqa: S608 - constants of this file

_PARKED = "SELECT EXISTS (SELECT FROM sagas WHERE tenant_id = $1 AND saga_id = $2 AND status = 'parked')"

_CLOSE = f"""
UPDATE dead_letters SET status = 'resolved' WHERE dead_letter_id = $1 AND status = 'open' RETURNING {_COLUMNS}
"""  # noqa: S608 - constants of this file


async def dead_letters(database: Database, wanted: Wanted, *, limit: int = 50) -> list[DeadLetter]:
    """The newest first. Raises NotFound for an unknown tenant, if no message named it."""
    return rows(DeadLetter, await _select(database, _LIST, wanted, limit))


async def causes(database: Database, wanted: Wanted, *, limit: int = 50) -> list[Cause]:
    """The same, by what they died of. Raises NotFound for an unknown tenant, if no message named it."""
    return rows(Cause, await _select(database, _CAUSES, wanted, limit))


async def _select(database: Database, statement: str, wanted: Wanted, limit: int) -> list[Any]:
    which = wanted.tenant_id, wanted.step, wanted.error, wanted.since, wanted.everything
    async with database.transaction(name="operate.dead_letters") as connection:
        found = list(await connection.fetch(statement, *which, limit))
        if not found:
            await expect_tenant(connection, wanted.tenant_id)
    return found


async def exact_bytes(database: Database, dead_letter_id: UUID, *, actor: str, reason: str = "") -> bytes:
    """The message as it died, unshortened; the look is audited in the same transaction. Raises NotFound."""
    async with database.transaction(name="operate.exact_bytes") as connection:
        letter, message = await read(connection, dead_letter_id)
        await audit.record(
            connection,
            actor=actor,
            action="look at dead letter",
            tenant_id=letter.tenant_id,
            saga_id=letter.saga_id,
            reason=reason,
            after={"dead_letter_id": dead_letter_id},
        )
    return message


async def close(database: Database, dead_letter_id: UUID, *, actor: str, reason: str) -> DeadLetter:
    """A person dealt with it; audited in the same transaction. Raises NotFound, and Refused without a reason,
    for one that is not open, and for one whose saga is parked: what becomes of the saga closes it."""
    if not reason.strip():
        raise Refused("closing a dead letter needs a reason")
    async with database.transaction(name="operate.close_letter") as connection:
        letter, _ = await read(connection, dead_letter_id)
        if letter.status != "open":
            raise Refused(f"the dead letter is not open: {letter.status}")
        if letter.of_command and await connection.fetchval(_PARKED, letter.tenant_id, letter.saga_id):
            raise Refused(f"its saga {letter.saga_id} is parked: replay or resolve the saga instead")
        closed = rows(DeadLetter, await connection.fetch(_CLOSE, dead_letter_id))
        if not closed:
            raise Refused("the dead letter was closed by somebody else just now")
        await audit.record(
            connection,
            actor=actor,
            action="close dead letter",
            tenant_id=letter.tenant_id,
            saga_id=letter.saga_id,
            reason=reason.strip(),
            before={"status": letter.status},
            after={"dead_letter_id": dead_letter_id, "status": closed[0].status},
        )
    return closed[0]


async def read(connection: Any, dead_letter_id: UUID) -> tuple[DeadLetter, bytes]:
    """With its exact bytes. Raises NotFound."""
    found = rows(DeadLetter, await connection.fetch(_ONE, dead_letter_id))
    if not found:
        raise NotFound(f"there is no dead letter {dead_letter_id}")
    message = await connection.fetchval(
        "SELECT message FROM dead_letters WHERE dead_letter_id = $1", dead_letter_id
    )
    return found[0], bytes(message)
