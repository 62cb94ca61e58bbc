"""The step side's durable memory: rows of `effects`, always locked before anything is written for a step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.ids import Direction
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.ruling import Effect
from steps.runtime.step import Connection

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)

_MAKE = """
INSERT INTO effects (tenant_id, saga_id, step, direction)
SELECT $1, saga_id, $3, direction FROM unnest($2::uuid[]) AS saga_id, unnest($4::text[]) AS direction
ON CONFLICT DO NOTHING
"""

_LOCK = """
SELECT saga_id, direction, state, attempt, answered, answer::text, owed, run
FROM effects WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[]) AND step = $3 AND direction = ANY($4::text[])
ORDER BY saga_id, direction FOR NO KEY UPDATE
"""

_SAVE = """
UPDATE effects e
SET attempt = greatest(e.attempt, a.attempt), answered = a.attempt, answer = a.answer::jsonb,
    state = CASE WHEN a.done THEN 'done' ELSE e.state END, owed = false, updated_at = now()
FROM unnest($4::uuid[], $5::int[], $6::text[], $7::bool[]) AS a (saga_id, attempt, answer, done)
WHERE e.tenant_id = $1 AND e.saga_id = a.saga_id AND e.step = $2 AND e.direction = $3
"""

_OWE = """
UPDATE effects e SET attempt = a.attempt, owed = true, updated_at = now()
FROM unnest($4::uuid[], $5::int[]) AS a (saga_id, attempt)
WHERE e.tenant_id = $1 AND e.saga_id = a.saga_id AND e.step = $2 AND e.direction = $3
"""

_FORBID = """
UPDATE effects SET state = 'undone', updated_at = now()
WHERE tenant_id = $1 AND saga_id = ANY($2::uuid[]) AND step = $3 AND direction = 'do'
"""

_START = """
UPDATE effects SET attempt = $5, started_at = now(), updated_at = now(), run = run + 1,
    starts = CASE WHEN attempt <> $5 THEN 1 WHEN $6 THEN greatest(starts, 1) ELSE starts + 1 END
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
RETURNING starts, run
"""

_UNSTART = """
UPDATE effects SET starts = greatest(starts - 1, 0), started_at = NULL
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4 AND attempt = $5
    AND run = $6
"""

_RUNNING = """
SELECT attempt = $5 AND answered < $5 AND started_at > now() - make_interval(secs => $6)
FROM effects WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
"""

_OUTSIDE = """
UPDATE effects SET outside = outside || $5::jsonb, updated_at = now()
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
"""


async def lock(connection: Connection, commands: Sequence[Command]) -> dict[UUID, Effect]:
    """Makes and locks the rows of one tenant's commands, all of one step and direction. An undo locks its
    step's row as well. Raises ForeignKeyViolationError for a saga that is not this tenant's."""
    first = commands[0]
    directions: list[Direction] = ["do"] if first.direction == "do" else ["do", "undo"]
    ids = sorted({command.saga_id for command in commands})
    await connection.execute(_MAKE, first.tenant_id, ids, first.step, directions)
    rows = await connection.fetch(_LOCK, first.tenant_id, ids, first.step, directions)
    return {row["saga_id"]: _effect(row) for row in rows if row["direction"] == first.direction}


def _effect(row: Any) -> Effect:
    answer = row["answer"]
    return Effect(
        state=row["state"],
        attempt=row["attempt"],
        answered=row["answered"],
        answer=None if answer is None else OUTCOME.validate_json(answer),
        owed=row["owed"],
        run=row["run"],
    )


async def save_answers(connection: Connection, answered: Sequence[tuple[Command, Outcome]]) -> None:
    """Commits with the effects they speak of. A Done undo forbids its step for ever, had it run or not."""
    if not answered:
        return
    first = answered[0][0]
    await connection.execute(
        _SAVE,
        first.tenant_id,
        first.step,
        first.direction,
        [command.saga_id for command, _ in answered],
        [command.attempt for command, _ in answered],
        [outcome.model_dump_json() for _, outcome in answered],
        [isinstance(outcome, Done) for _, outcome in answered],
    )
    if first.direction == "undo":
        undone = [command.saga_id for command, outcome in answered if isinstance(outcome, Done)]
        await connection.execute(_FORBID, first.tenant_id, undone, first.step)


async def owe(connection: Connection, commands: Sequence[Command]) -> None:
    """Remembers that a later job must answer these."""
    if not commands:
        return
    first = commands[0]
    await connection.execute(
        _OWE,
        first.tenant_id,
        first.step,
        first.direction,
        [command.saga_id for command in commands],
        [command.attempt for command in commands],
    )


@dataclass(frozen=True, slots=True)
class Start:
    starts: int
    """How often this attempt has now been begun without an answer."""
    run: int
    """Of this beginning: no other one of the same step, saga and direction has it."""


async def mark_started(connection: Connection, command: Command, *, resumed: bool = False) -> Start:
    """`resumed`: the same process begins again what it had begun before, so nobody died in between."""
    return Start(*await connection.fetchrow(_START, *_key(command), command.attempt, resumed))


async def unmark_started(connection: Connection, command: Command, run: int) -> None:
    """An orderly interruption is no sign of poison. Does nothing once another run took over."""
    await connection.execute(_UNSTART, *_key(command), command.attempt, run)


async def is_running(connection: Connection, command: Command) -> bool:
    """Whether this very attempt was begun less than its time limit ago, and not answered or interrupted."""
    return bool(await connection.fetchval(_RUNNING, *_key(command), command.attempt, command.timeout))


async def note_outside(connection: Connection, command: Command, outside: dict[str, str]) -> None:
    """Keeps ids that outside worlds gave to what this step did."""
    await connection.execute(_OUTSIDE, *_key(command), json.dumps(outside))


def _key(command: Command) -> tuple[Any, ...]:
    return command.tenant_id, command.saga_id, command.step, command.direction
