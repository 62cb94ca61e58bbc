"""Bringing all that is sealed under the first key, so that the one before it can be forgotten."""

from collections import Counter
from dataclasses import dataclass

import asyncpg

from contracts.process.postgres import Database
from contracts.process.sealing import keys
from orchestrator.operate import audit
from orchestrator.operate.errors import Refused
from orchestrator.operate.reseal import Resealing, reseal
from orchestrator.operate.webhooks import introduce

_TENANTS = "SELECT tenant_id FROM tenants ORDER BY tenant_id"
_RETIRE = "DELETE FROM secret_keys WHERE key_id = $1 RETURNING key_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """`key`: that now seals. `anew`, `clear`, `already`: secrets that were under another key, in the clear,
    and under this one before. `broken`: tenants whose secret no key here opens: store it anew. `retired` keys
    are needed no more; `in_use` ones are: somebody sealed with them meanwhile, or something is broken."""

    key: str
    anew: int
    clear: int
    already: int
    broken: list[str]
    retired: list[str]
    in_use: list[str]

    @property
    def finished(self) -> bool:
        return not self.broken and not self.in_use


async def rotate(database: Database, sealers: Database, *, actor: str, reason: str) -> Rotated:
    """`sealers`: the database as leadsaga_steps sees it. One transaction a tenant; it may be broken off
    anywhere, and run again. Raises BadSettings, and Refused without a reason."""
    if not reason.strip():
        raise Refused("this needs a reason")
    known = keys()
    async with database.transaction(name="operate.rotation_begins") as connection:
        in_use = await introduce(connection, known)
        tenants = [str(row[0]) for row in await connection.fetch(_TENANTS)]
    found: dict[str, Resealing] = {}
    for tenant_id in tenants:
        async with sealers.transaction(tenant_id, name="operate.reseal") as connection:
            found[tenant_id] = await reseal(connection, tenant_id, known, actor=actor, reason=reason.strip())
    old = [key for key in in_use if key != known.ids[0]]
    retired = [key for key in old if await _retired(database, key, actor=actor, reason=reason.strip())]
    count = Counter(found.values())
    return Rotated(
        key=known.ids[0],
        anew=count["sealed anew"],
        clear=count["was in the clear"],
        already=count["there already"],
        broken=[tenant_id for tenant_id, each in found.items() if each == "cannot be opened"],
        retired=retired,
        in_use=[key for key in old if key not in retired],
    )


async def _retired(database: Database, key: str, *, actor: str, reason: str) -> bool:
    """False when something is still sealed with it: the database does not let it go then."""
    try:
        async with database.transaction(name="operate.retire_key") as connection:
            if await connection.fetchval(_RETIRE, key) is not None:  # else another rotation was faster
                await audit.record(
                    connection, actor=actor, action="retire key", reason=reason, before={"key": key}
                )
    except asyncpg.ForeignKeyViolationError:
        return False
    return True
