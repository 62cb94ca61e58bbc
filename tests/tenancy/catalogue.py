"""What the database's own catalogue says of our tables: columns, policies, and who was granted what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLES = ("leadsaga_engine", "leadsaga_steps", "leadsaga_operator", "leadsaga_reader")
OWNER = "leadsaga_owner"

_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       pg_get_userbyid(c.relowner)::text AS owner
FROM pg_class c WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""

# `given`: the database fills it, and nobody else may.
_COLUMNS = """
SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, NULL) AS type,
       a.attidentity = 'a' OR a.attgenerated <> '' AS given, d.oid IS NOT NULL AS has_default,
       (SELECT substring(pg_get_constraintdef(k.oid) FROM $$ARRAY\\['([^']*)'::text$$) FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum] LIMIT 1) AS first_word
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
    AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""

_GRANTS = """
SELECT r.rolname AS role, c.relname AS table, a.attname AS column, p.privilege AS privilege
FROM pg_roles r, pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS p (privilege)
WHERE r.rolname = ANY ($1::text[]) AND c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p')
    AND has_column_privilege(r.oid, c.oid, a.attnum, p.privilege)
UNION ALL
SELECT r.rolname, c.relname, '', 'DELETE' FROM pg_roles r, pg_class c
WHERE r.rolname = ANY ($1::text[]) AND c.relnamespace = 'leadsaga'::regnamespace AND c.relkind IN ('r', 'p')
    AND has_table_privilege(r.oid, c.oid, 'DELETE')
"""

_POLICIES = """
SELECT tablename AS table, policyname AS name, permissive, roles::text[] AS roles, cmd AS command,
       qual AS using, with_check AS check
FROM pg_policies WHERE schemaname = 'leadsaga' ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: str
    given: bool
    """By the database alone."""
    has_default: bool
    first_word: str | None
    """Of those that it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    table: str
    name: str
    permissive: str
    roles: tuple[str, ...]
    command: str
    using: str | None
    check: str | None

    def __str__(self) -> str:
        return f"{self.name} on {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    name: str
    enabled: bool
    forced: bool
    owner: str
    columns: tuple[Column, ...]
    grants: Mapping[tuple[str, str], frozenset[str]]
    """Columns, by (role, privilege); of DELETE, which knows none, the empty name."""
    policies: tuple[Policy, ...]

    @property
    def of_tenants(self) -> bool:
        return any(column.name == "tenant_id" for column in self.columns)

    def granted(self, role: str, privilege: str) -> list[str]:
        """The columns, in their order, that a role may use so."""
        found = self.grants.get((role, privilege), frozenset())
        return [column.name for column in self.columns if column.name in found]

    def may_delete(self, role: str) -> bool:
        return (role, "DELETE") in self.grants


async def read(connection: Any) -> list[Table]:
    """All tables of the schema."""
    columns, grants, policies = (
        await connection.fetch(_COLUMNS),
        await connection.fetch(_GRANTS, list(ROLES)),
        [Policy(**{**row, "roles": tuple(row["roles"])}) for row in await connection.fetch(_POLICIES)],
    )
    return [
        Table(
            **table,
            columns=tuple(
                Column(**{name: value for name, value in row.items() if name != "table"})
                for row in columns
                if row["table"] == table["name"]
            ),
            grants=_grants([row for row in grants if row["table"] == table["name"]]),
            policies=tuple(policy for policy in policies if policy.table == table["name"]),
        )
        for table in await connection.fetch(_TABLES)
    ]


def _grants(rows: list[Any]) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        found.setdefault((row["role"], row["privilege"]), set()).add(row["column"])
    return {key: frozenset(columns) for key, columns in found.items()}
