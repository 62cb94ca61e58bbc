"""A database with rows of two tenants in every table, in which nothing but the policies holds anybody."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.tenancy import catalogue
from tests.tenancy.catalogue import Column, Table

ACME, GLOBEX = "acme", "globex"
TENANTS = (ACME, GLOBEX)

# Constraints and triggers ask whether a row makes sense, and here only who reaches it is asked. They go, so
# that rows can be made from the catalogue alone, and any row can be reached by whoever no policy stops.
_BARE = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
WHERE connamespace = 'leadsaga'::regnamespace AND contype IN ('c', 'f') AND conrelid <> 0
UNION ALL
SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', oid::regclass) FROM pg_class
WHERE relnamespace = 'leadsaga'::regnamespace AND relkind IN ('r', 'p')
"""

# All that a probe does is taken back, its role and its tenant too, whatever comes of it.
_PROBE = """
CREATE FUNCTION pg_temp.probe(role text, tenant text, bundle text, given text, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    reached bigint;
BEGIN
    IF given <> '' THEN
        EXECUTE given;
    END IF;
    PERFORM set_config('leadsaga.tenant_id', coalesce(tenant, ''), true);
    PERFORM set_config('leadsaga.bundle_tenants', coalesce('{' || bundle || '}', ''), true);
    PERFORM set_config('role', role, true);
    EXECUTE statement;
    GET DIAGNOSTICS reached = ROW_COUNT;
    RAISE EXCEPTION USING ERRCODE = 'LS000', MESSAGE = reached::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$
"""

_RUN = """
SELECT pg_temp.probe(role, tenant, bundle, given, statement) AS found
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS p (role, tenant, bundle, given, statement)
"""

SAMPLES = {
    "integer": "1",
    "bigint": "1",
    "boolean": "true",
    "numeric": "1",
    "timestamp with time zone": "now()",
    "date": "current_date",
    "interval": "interval '1 second'",
    "jsonb": "'{}'",
    "bytea": "convert_to('TENANT', 'UTF8')",
    "uuid": "gen_random_uuid()",
    "text": "'TENANT'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A statement as a role with a tenant set, or none. `bundle`: the one tenant of a bundle. `given`: done
    before it by somebody who may."""

    role: str
    tenant: str | None
    statement: str
    bundle: str | None = None
    given: str = ""


KEPT_OUT = "42501"
BAD_ROW = "23"
REACHED = "LS000"

REFUSED = -1


class BadProbe(AssertionError):
    """A probe that says nothing: it failed for a reason of its own."""


@dataclass(slots=True)
class Laboratory:
    connection: Any
    tables: list[Table]
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    """The rows as JSON, by table and tenant."""

    def table(self, name: str) -> Table:
        (found,) = (table for table in self.tables if table.name == name)
        return found

    async def reached(self, probes: Sequence[Probe]) -> list[int]:
        """How many rows each of them reached; REFUSED if it ended with an error of policies or grants. What a
        unique index stops has passed the policies before. Raises BadProbe."""
        given = ((each.role, each.tenant, each.bundle, each.given, each.statement) for each in probes)
        columns = zip(*given, strict=True)
        found = [row["found"] for row in await self.connection.fetch(_RUN, *map(list, columns))]
        return [_rows(probe, said) for probe, said in zip(probes, found, strict=True)]


def _rows(probe: Probe, said: str) -> int:
    code, _, message = said.partition(" ")
    if code == REACHED:
        return int(message)
    if code == KEPT_OUT:
        return REFUSED
    if code.startswith(BAD_ROW):
        return 1
    raise BadProbe(f"{probe}: {said}")


@asynccontextmanager
async def laboratory(database_url: str) -> AsyncIterator[Laboratory]:
    """On a database of its own, which is of no other use afterwards."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        tables = [table for table in await catalogue.read(connection) if table.of_tenants]
        for row in await connection.fetch(_BARE):
            await connection.execute(row[0])
        await connection.execute(_PROBE)
        found = Laboratory(connection, tables)
        for table in tables:
            await connection.execute(f'DELETE FROM "{table.name}"')
            for tenant in TENANTS:
                await connection.execute(_row(table, tenant))
        # The only ones that a step may change or remove.
        await connection.execute("UPDATE tenants SET status = 'provisioning'")
        for table in tables:
            found.texts[table.name] = {
                row["tenant_id"]: row["text"]
                for row in await connection.fetch(
                    f'SELECT tenant_id, to_jsonb(t)::text AS text FROM "{table.name}" t'
                )
            }
        yield found
    finally:
        await connection.close()


def _row(table: Table, tenant: str) -> str:
    """Every column that has no default gets a value, so that policies which look at one find something."""
    columns = [column for column in table.columns if not column.given and not column.has_default]
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(_value(column, tenant) for column in columns)
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({values})'


def _value(column: Column, tenant: str) -> str:
    if column.name == "tenant_id":
        return f"'{tenant}'"
    if column.first_word is not None:
        return f"'{column.first_word}'"
    return SAMPLES[column.type].replace("TENANT", tenant)
