"""The step side's memory on Postgres: the table effects."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from contracts.ids import Direction
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.process.postgres import Database, set_tenant
from steps.runtime.effects import NoSaga, Start
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
UPDATE effects SET starts = greatest(starts - 1, 0),
    started_at = CASE WHEN run = $6 THEN NULL ELSE started_at END
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4 AND attempt = $5
"""

_RUNNING = """
SELECT attempt = $5 AND answered < $5 AND started_at > now() - make_interval(secs => $6)
FROM effects WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
"""

_OUTSIDE = """
UPDATE effects SET outside = outside || $5::jsonb, updated_at = now()
WHERE tenant_id = $1 AND saga_id = $2 AND step = $3 AND direction = $4
"""


@dataclass(frozen=True, slots=True)
class PostgresEffects:
    """On a connection inside a transaction."""

    connection: Connection

    @asynccontextmanager
    async def of(self, tenant_id: str) -> AsyncIterator[None]:
        async with self.connection.transaction():
            await set_tenant(self.connection, tenant_id)
            yield

    async def lock(self, commands: Sequence[Command]) -> dict[UUID, Effect]:
        first = commands[0]
        directions: list[Direction] = ["do"] if first.direction == "do" else ["do", "undo"]
        ids = sorted({command.saga_id for command in commands})
        try:
            await self.connection.execute(_MAKE, first.tenant_id, ids, first.step, directions)
        except asyncpg.ForeignKeyViolationError as error:
            raise NoSaga from error
        rows = await self.connection.fetch(_LOCK, first.tenant_id, ids, first.step, directions)
        return {row["saga_id"]: _effect(row) for row in rows if row["direction"] == first.direction}

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        if not answered:
            return
        first = answered[0][0]
        await self.connection.execute(
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
            await self.connection.execute(_FORBID, first.tenant_id, undone, first.step)

    async def owe(self, commands: Sequence[Command]) -> None:
        if not commands:
            return
        first = commands[0]
        await self.connection.execute(
            _OWE,
            first.tenant_id,
            first.step,
            first.direction,
            [command.saga_id for command in commands],
            [command.attempt for command in commands],
        )

    async def mark_started(self, command: Command, *, resumed: bool = False) -> Start:
        return Start(*await self.connection.fetchrow(_START, *_key(command), command.attempt, resumed))

    async def unmark_started(self, command: Command, run: int) -> None:
        await self.connection.execute(_UNSTART, *_key(command), command.attempt, run)

    async def is_running(self, command: Command) -> bool:
        return bool(
            await self.connection.fetchval(_RUNNING, *_key(command), command.attempt, command.timeout)
        )

    async def note_outside(self, command: Command, outside: dict[str, str]) -> None:
        await self.connection.execute(_OUTSIDE, *_key(command), json.dumps(outside))


@dataclass(frozen=True, slots=True)
class PostgresMemory:
    """A database whose connections belong to the role leadsaga_steps."""

    database: Database

    @asynccontextmanager
    async def transaction(
        self, tenant_id: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[PostgresEffects]:
        async with self.database.transaction(tenant_id, name=name) as connection:
            yield PostgresEffects(connection)


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


def _key(command: Command) -> tuple[Any, ...]:
    return command.tenant_id, command.saga_id, command.step, command.direction
