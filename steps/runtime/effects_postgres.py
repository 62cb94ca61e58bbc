"""The step side's memory on Postgres: the table effects."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from contracts.ids import Direction
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.process.postgres import Database
from steps.runtime.effects import NoSaga, NotFirst, Start
from steps.runtime.named import InTheNameOf, asking
from steps.runtime.ruling import Effect
from steps.runtime.step import Owing

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)

FRESH = Effect()

LOCKED: dict[Direction, tuple[Direction, ...]] = {"do": ("do",), "undo": ("do", "undo")}

# Rows of many tenants are found by their whole key, one by one. Joined to a list they would be looked for
# among all that a tenant's step has ever answered, by plans that are made, and kept, while the table is new.

_MAKE = """
INSERT INTO effects (tenant_id, saga_id, step, direction)
SELECT tenant_id, saga_id, $1, direction
FROM unnest($2::text[], $3::uuid[], $4::text[]) AS c (tenant_id, saga_id, direction)
ON CONFLICT DO NOTHING
"""

_LOCK = """
SELECT e.tenant_id, e.saga_id, e.direction, e.state, e.attempt, e.answered, e.answer::text, e.owed, e.run
FROM unnest($2::text[], $3::uuid[], $4::text[]) AS c (tenant_id, saga_id, direction), LATERAL (
    SELECT * FROM effects
    WHERE tenant_id = c.tenant_id AND saga_id = c.saga_id AND step = $1 AND direction = c.direction
    FOR NO KEY UPDATE
) AS e
"""

_SAVE = """
INSERT INTO effects AS e (tenant_id, saga_id, step, direction, attempt, answered, answer, state)
SELECT tenant_id, saga_id, $1, $2, attempt, attempt, answer::jsonb, CASE WHEN done THEN 'done' ELSE 'open' END
FROM unnest($3::text[], $4::uuid[], $5::int[], $6::text[], $7::bool[])
    AS a (tenant_id, saga_id, attempt, answer, done)
ON CONFLICT (tenant_id, saga_id, step, direction) DO UPDATE
SET attempt = greatest(e.attempt, excluded.attempt), answered = excluded.answered, answer = excluded.answer,
    state = CASE WHEN excluded.state = 'done' THEN 'done' ELSE e.state END, owed = false, updated_at = now()
"""

# A plain INSERT: whose transaction made the row first is first, and anybody else's fails.
_FIRST = """
INSERT INTO effects (tenant_id, saga_id, step, direction, attempt, answered, answer, state, owed)
SELECT tenant_id, saga_id, $1, 'do', attempt, CASE WHEN answer IS NULL THEN 0 ELSE attempt END, answer::jsonb,
       CASE WHEN done THEN 'done' ELSE 'open' END, answer IS NULL
FROM unnest($2::text[], $3::uuid[], $4::int[], $5::text[], $6::bool[])
    AS a (tenant_id, saga_id, attempt, answer, done)
"""

_OWE = """
INSERT INTO effects AS e (tenant_id, saga_id, step, direction, attempt, owed)
SELECT tenant_id, saga_id, $1, $2, attempt, true
FROM unnest($3::text[], $4::uuid[], $5::int[]) AS a (tenant_id, saga_id, attempt)
ON CONFLICT (tenant_id, saga_id, step, direction) DO UPDATE
SET attempt = excluded.attempt, owed = true, updated_at = now()
"""

_FORBID = """
INSERT INTO effects AS e (tenant_id, saga_id, step, direction, state)
SELECT tenant_id, saga_id, $1, 'do', 'undone' FROM unnest($2::text[], $3::uuid[]) AS u (tenant_id, saga_id)
ON CONFLICT (tenant_id, saga_id, step, direction) DO UPDATE SET state = 'undone', updated_at = now()
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


@dataclass(slots=True)
class PostgresEffects:
    connection: InTheNameOf

    def work_for(self, tenant_id: str | None) -> None:
        self.connection = self.connection.another(tenant_id)

    async def lock(self, commands: Sequence[Command]) -> list[Effect]:
        step, directions = commands[0].step, LOCKED[commands[0].direction]
        sagas = sorted(dict.fromkeys((each.tenant_id, each.saga_id) for each in commands), key=_order)
        rows = [(*saga, direction) for saga in sagas for direction in directions]
        keys = [list(column) for column in zip(*rows, strict=True)]
        try:
            made = await self.connection.execute(_MAKE, step, *keys)
        except asyncpg.ForeignKeyViolationError as error:
            raise NoSaga from error
        if made == f"INSERT 0 {len(rows)}":
            return [FRESH] * len(commands)  # what was made just now is locked, and nobody else has seen it
        found = {
            (row["tenant_id"], row["saga_id"], row["direction"]): row
            for row in await self.connection.fetch(_LOCK, step, *keys)
        }
        return [_effect(found[each.tenant_id, each.saga_id, each.direction]) for each in commands]

    async def save_answers(self, answered: Sequence[tuple[Command, Outcome]]) -> None:
        if not answered:
            return
        commands = [command for command, _ in answered]
        first = commands[0]
        await self.connection.execute(
            _SAVE,
            first.step,
            first.direction,
            *_keys(commands),
            [command.attempt for command in commands],
            [outcome.model_dump_json() for _, outcome in answered],
            [isinstance(outcome, Done) for _, outcome in answered],
        )
        if first.direction == "undo":
            undone = [command for command, outcome in answered if isinstance(outcome, Done)]
            await self.connection.execute(_FORBID, first.step, *_keys(undone))

    async def owe(self, commands: Sequence[Command]) -> None:
        if not commands:
            return
        first = commands[0]
        attempts = [command.attempt for command in commands]
        await self.connection.execute(_OWE, first.step, first.direction, *_keys(commands), attempts)

    async def save_first(self, answered: Sequence[tuple[Command, Outcome | Owing]]) -> None:
        commands = [command for command, _ in answered]
        try:
            await self.connection.execute(
                _FIRST,
                commands[0].step,
                *_keys(commands),
                [command.attempt for command in commands],
                [None if isinstance(said, Owing) else said.model_dump_json() for _, said in answered],
                [isinstance(said, Done) for _, said in answered],
            )
        except asyncpg.UniqueViolationError as error:
            raise NotFirst from error
        except asyncpg.ForeignKeyViolationError as error:
            raise NoSaga from error

    async def mark_started(self, command: Command, *, resumed: bool = False) -> Start:
        return Start(*await self.connection.fetchrow(_START, *_key(command), command.attempt, resumed))

    async def unmark_started(self, command: Command, run: int) -> None:
        await self.connection.execute(_UNSTART, *_key(command), command.attempt, run)

    async def is_running(self, command: Command) -> bool:
        return bool(
            await self.connection.fetchval(_RUNNING, *_key(command), command.attempt, command.timeout)
        )

    async def note_outside(self, command: Command, outside: Mapping[str, str]) -> None:
        await self.connection.execute(_OUTSIDE, *_key(command), json.dumps(dict(outside)))


@dataclass(frozen=True, slots=True)
class PostgresMemory:
    """A database whose connections belong to the role leadsaga_steps."""

    database: Database

    @asynccontextmanager
    async def transaction(self, *tenants: str, name: str | None = None) -> AsyncIterator[PostgresEffects]:
        alone, several = (tenants[0], ()) if len(tenants) == 1 else (None, tenants)
        async with self.database.transaction(alone, bundle=several, name=name) as connection:
            yield PostgresEffects(asking(connection, alone))


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


def _order(saga: tuple[str, UUID]) -> tuple[str, int]:
    """In which rows are made: the same everywhere, or two bundles could wait for each other."""
    return saga[0], saga[1].int


def _keys(commands: Sequence[Command]) -> tuple[list[str], list[UUID]]:
    return [command.tenant_id for command in commands], [command.saga_id for command in commands]


def _key(command: Command) -> tuple[Any, ...]:
    return command.tenant_id, command.saga_id, command.step, command.direction
