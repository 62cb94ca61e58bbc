"""Many rows like those of a saga that really ran, made by SQL: a past too long to live through."""

from collections.abc import Mapping
from typing import Any

TABLES = ("requests", "sagas", "saga_log", "effects", "bench_usage")
"""That hold rows of a finished saga."""
AT_ONCE = 20_000

COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""

OLD_ID = """
(lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3)
 || '8' || substr(md5(n::text), 4, 15))::uuid
"""
"""An id of version 7, of a millisecond long ago: rows lie in indexes as those that came one after another."""


async def copy(
    connection: Any,
    table: str,
    changed: Mapping[str, str],
    numbers: range,
    tenant_id: str,
    where: str = "true",
) -> None:
    """The rows of a tenant, once more for each number `n`, with expressions in place of some columns. Foreign
    keys and triggers do not see it: what is copied is whole. For a superuser."""
    columns = [row["attname"] for row in await connection.fetch(COLUMNS, f"leadsaga.{table}")]
    values = ", ".join(changed.get(column, f"r.{column}") for column in columns)
    for begin in range(numbers.start, numbers.stop, AT_ONCE):
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                f"INSERT INTO leadsaga.{table} ({', '.join(columns)}) SELECT {values}"
                f" FROM leadsaga.{table} r, generate_series($1::int, $2::int) n"
                f" WHERE r.tenant_id = $3 AND {where}",
                *(begin, min(begin + AT_ONCE, numbers.stop) - 1, tenant_id),
            )


async def copy_finished(connection: Any, tenant_id: str, saga_id: Any, numbers: range, tenants: int) -> None:
    """The past of a finished saga, lived through by sagas of `tenants` tenants in turn."""
    changed = {
        "tenant_id": f"'t-' || lpad((n % {tenants})::text, 5, '0')",
        "saga_id": OLD_ID,
        "request_id": "'old-' || n",
    }
    for table in TABLES:
        await copy(connection, table, changed, numbers, tenant_id, f"r.saga_id = '{saga_id}'")
