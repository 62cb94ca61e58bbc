"""Dead letters: what could not be carried out, or not be read.

Their content is a tenant's, so little of it is shown.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import NotFound, Refused
from orchestrator.operate.find import expect_tenant
from orchestrator.operate.plain import rows

KEPT = frozenset(
    {"v", "type", "kind", "event", "saga", "step", "direction", "tenant_id", "saga_id", "request_id"}
    | {"refund_id", "language", "error", "currency"}
)
"""Keys whose values name things; the texts of all others are shortened."""

SHOWN_OF_TEXT = 12
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    dead_letter_id: UUID
    tenant_id: str | None
    saga_id: UUID | None
    saga: str | None
    step: str | None
    direction: str | None
    attempt: int | None
    queue: str
    error: str
    reason: str
    fingerprint: str
    status: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`message`: the redacted message, or None when it is not JSON. `size` in bytes."""

    letter: DeadLetter
    size: int
    message: Any


_COLUMNS = """dead_letter_id, tenant_id, saga_id, saga, step, direction, attempt, queue, error, reason,
    fingerprint, status, first_at, last_at"""

_LIST = f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::boolean OR status = 'open')
ORDER BY last_at DESC, dead_letter_id DESC LIMIT $3
"""  # noqa: S608 - constants of this file

_ONE = f"SELECT {_COLUMNS} FROM dead_letters WHERE dead_letter_id = $1"  # noqa: S608 - constants of this file

_PARKED = "SELECT EXISTS (SELECT FROM sagas WHERE tenant_id = $1 AND saga_id = $2 AND status = 'parked')"

_CLOSE = f"""
UPDATE dead_letters SET status = 'resolved' WHERE dead_letter_id = $1 AND status = 'open' RETURNING {_COLUMNS}
"""  # noqa: S608 - constants of this file


async def dead_letters(
    database: Database, *, tenant_id: str | None = None, everything: bool = False, limit: int = 50
) -> list[DeadLetter]:
    """Open ones, or all; the newest first. Raises NotFound for an unknown tenant, if no message named it."""
    async with database.transaction() as connection:
        found = rows(DeadLetter, await connection.fetch(_LIST, tenant_id, everything, limit))
        if not found:
            await expect_tenant(connection, tenant_id)
    return found


async def open_letter(database: Database, dead_letter_id: UUID) -> Opened:
    """Raises NotFound."""
    async with database.transaction() as connection:
        letter, message = await _read(connection, dead_letter_id)
    return Opened(letter=letter, size=len(message), message=redacted(message))


async def exact_bytes(database: Database, dead_letter_id: UUID, *, actor: str, reason: str = "") -> bytes:
    """The message as it died, unshortened; the look is audited in the same transaction. Raises NotFound."""
    async with database.transaction() as connection:
        letter, message = await _read(connection, dead_letter_id)
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
    async with database.transaction() as connection:
        letter, _ = await _read(connection, dead_letter_id)
        if letter.status != "open":
            raise Refused(f"the dead letter is not open: {letter.status}")
        if await connection.fetchval(_PARKED, letter.tenant_id, letter.saga_id):
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


async def _read(connection: Any, dead_letter_id: UUID) -> tuple[DeadLetter, bytes]:
    found = rows(DeadLetter, await connection.fetch(_ONE, dead_letter_id))
    if not found:
        raise NotFound(f"there is no dead letter {dead_letter_id}")
    message = await connection.fetchval(
        "SELECT message FROM dead_letters WHERE dead_letter_id = $1", dead_letter_id
    )
    return found[0], bytes(message)


def redacted(message: bytes) -> Any:
    """Keys, numbers and names stay; of other texts the beginning and the length. None if it is not JSON."""
    try:
        return _redact(json.loads(message), "")
    except (ValueError, RecursionError):
        return None


def _redact(value: Any, key: str) -> Any:
    match value:
        case dict():
            return {name[:LONGEST_NAME]: _redact(each, name) for name, each in value.items()}
        case list():
            return [_redact(each, key) for each in value]
        case str():
            return _shortened(value, LONGEST_NAME if key in KEPT else SHOWN_OF_TEXT)
        case _:
            return value


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
