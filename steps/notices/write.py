"""Notices are rows first: written with the step's answer, once for each saga and event."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from steps.notices.settings import notice_interval
from steps.notices.texts import Notice
from steps.runtime.step import Connection
from steps.work import due

_WRITE = """
INSERT INTO notices (tenant_id, notice_id, saga_id, event, title, body)
SELECT $1, n.notice_id, n.saga_id, n.event, n.title, n.body
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[])
    AS n (notice_id, saga_id, event, title, body)
ON CONFLICT DO NOTHING
RETURNING notice_id
"""

_WELCOME = """
INSERT INTO notices (tenant_id, notice_id, event, title, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""


async def write(connection: Connection, tenant_id: str, notices: Sequence[tuple[UUID, Notice]]) -> list[UUID]:
    """Says the id of each notice, in order; what was written before stays as it is. Those that are new are
    sent within the interval, with others of the tenant."""
    ids = [uuid5(saga_id, notice.event) for saga_id, notice in notices]
    written = await connection.fetch(
        _WRITE,
        tenant_id,
        ids,
        [saga_id for saga_id, _ in notices],
        [notice.event for _, notice in notices],
        [notice.title for _, notice in notices],
        [notice.body for _, notice in notices],
    )
    if written:
        await due.add(connection, "notices", tenant_id, within=notice_interval(), weight=len(written))
    return ids


async def write_welcome(connection: Connection, tenant_id: str, notice: Notice) -> UUID:
    """Belongs to no saga of the tenant: the one that added it is the administration's. A tenant is welcomed
    once."""
    notice_id = uuid5(NAMESPACE_URL, f"welcome {tenant_id}")
    row = (tenant_id, notice_id, notice.event, notice.title, notice.body)
    if await connection.execute(_WELCOME, *row) != "INSERT 0 0":
        await due.add(connection, "notices", tenant_id, within=notice_interval(), weight=1)
    return notice_id
