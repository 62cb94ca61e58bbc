"""Which saga is meant, and where sagas stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.operate.errors import NotFound, Refused
from orchestrator.operate.plain import rows
from orchestrator.sagas import REGISTERED

SAGAS = sorted({saga.name for saga in REGISTERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One saga as it stands. `leads`: as many as its request asks for, if it says."""

    tenant_id: str
    saga_id: UUID
    saga: str
    version: int
    request_id: str
    status: str
    step: str | None
    direction: str
    attempt: int
    leads: int | None
    reason: str
    created_at: datetime
    updated_at: datetime


_COLUMNS = """s.tenant_id, s.saga_id, s.saga, s.version, s.request_id, s.status, s.state ->> 'step' AS step,
    coalesce(s.state ->> 'direction', 'do') AS direction,
    coalesce((s.state ->> 'attempt')::int, 0) AS attempt,
    (s.request ->> 'leads')::int AS leads, coalesce(s.state ->> 'reason', '') AS reason,
    s.created_at, s.updated_at"""

# From tenant to tenant by their keys: there is no index by saga alone, and tenants are few.
_BY_ID = f"""
SELECT {_COLUMNS} FROM tenants t JOIN sagas s ON s.tenant_id = t.tenant_id AND s.saga_id = $1
WHERE $2::text IS NULL OR t.tenant_id = $2 ORDER BY s.tenant_id
"""  # noqa: S608 - constants of this file

_BY_REQUEST = f"""
SELECT {_COLUMNS} FROM tenants t
JOIN requests r ON r.tenant_id = t.tenant_id AND r.saga = ANY ($3::text[]) AND r.request_id = $1
JOIN sagas s ON s.tenant_id = r.tenant_id AND s.saga_id = r.saga_id
WHERE $2::text IS NULL OR t.tenant_id = $2 ORDER BY s.tenant_id, s.saga
"""  # noqa: S608 - constants of this file

_LIST = f"""
SELECT {_COLUMNS} FROM sagas s
WHERE ($1::text IS NULL OR s.tenant_id = $1) AND ($2::text IS NULL OR s.status = $2)
    AND ($3::text IS NULL OR s.saga = $3)
ORDER BY s.created_at DESC, s.saga_id DESC LIMIT $4
"""  # noqa: S608 - constants of this file


async def sagas(
    database: Database,
    *,
    tenant_id: str | None = None,
    status: str | None = None,
    saga: str | None = None,
    limit: int = 50,
) -> list[Standing]:
    """The newest first. Raises NotFound for an unknown tenant."""
    async with database.transaction(name="operate.sagas") as connection:
        found = rows(Standing, await connection.fetch(_LIST, tenant_id, status, saga, limit))
        if not found:
            await expect_tenant(connection, tenant_id)
    return found


async def find(
    connection: Any, named: str, tenant_id: str | None = None, *, kinds: Sequence[str] = SAGAS
) -> Standing:
    """The saga with this id, or that began with this request (or refund) id. Raises NotFound, and Refused
    when several are meant."""
    found = []
    as_id = _uuid(named)
    if as_id is not None:
        found = await connection.fetch(_BY_ID, as_id, tenant_id)
    if not found:
        found = await connection.fetch(_BY_REQUEST, named, tenant_id, list(kinds))
    if not found:
        whose = f" of tenant {tenant_id}" if tenant_id else ""
        raise NotFound(f"there is no saga or request {named}{whose}")
    if len(found) > 1:
        choice = ", ".join(f"{each['saga_id']} ({each['tenant_id']}, {each['saga']})" for each in found)
        raise Refused(f"{named} names several sagas; give the id of one: {choice}")
    return rows(Standing, found)[0]


async def expect_tenant(connection: Any, tenant_id: str | None) -> None:
    """That nothing was found of a tenant means something only if it exists. Raises NotFound."""
    if tenant_id is None:
        return
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)", tenant_id):
        raise NotFound(f"there is no tenant {tenant_id}")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
