"""One dead letter, with all that led to it: derived from the log and the effects, not copied when it died."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database, set_tenant
from orchestrator.operate.attempts import Attempt, attempts, causes
from orchestrator.operate.dead_letters import DeadLetter, read
from orchestrator.operate.inspect import read_any
from orchestrator.operate.plain import rows
from orchestrator.operate.redact import redacted
from orchestrator.store.statements import Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What the step itself knows of its work. `starts`: how often `attempt` was begun without an answer, the
    beginning included that was given up for poison; `run`: how often any attempt was begun."""

    state: str
    attempt: int
    answered: int
    starts: int
    run: int
    started_at: datetime | None
    owed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`message`: the redacted message, or None when it is not JSON. `size` in bytes. Without a saga there are
    no attempts, and no effect."""

    letter: DeadLetter
    attempts: list[Attempt]
    effect: Begun | None
    size: int
    message: Any

    @property
    def why(self) -> str:
        """Why it lies here, in one sentence, with what all its attempts died of."""
        if len(self.attempts) < 2:
            return self.letter.why
        return f"{self.letter.why}; {len(self.attempts)} attempts failed: {causes(self.attempts)}"


_EFFECT = """
SELECT state, attempt, answered, starts, run, started_at, owed FROM effects
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
"""


async def open_letter(database: Database, dead_letter_id: UUID) -> Opened:
    """Raises NotFound."""
    async with database.transaction(name="operate.open_letter") as connection:
        letter, message = await read(connection, dead_letter_id)
        made, effect = await _history(connection, letter)
    return Opened(letter=letter, attempts=made, effect=effect, size=len(message), message=redacted(message))


async def _history(connection: Any, letter: DeadLetter) -> tuple[list[Attempt], Begun | None]:
    step, direction = letter.step, letter.direction
    if letter.tenant_id is None or letter.saga_id is None or step is None or direction is None:
        return [], None
    key = letter.tenant_id, letter.saga_id
    log = [read_any(record["entry"]) for record in await Statements(connection).fetch("history", *key)]
    # What steps keep can be read for one tenant at a time only.
    await set_tenant(connection, letter.tenant_id)
    effect = rows(Begun, await connection.fetch(_EFFECT, *key, step, direction))
    made = attempts(log, step, direction, upto=letter.attempt or 0)
    return made, effect[0] if effect else None
