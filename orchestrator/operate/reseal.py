"""One tenant's secret under the first key. Works as leadsaga_steps: operators cannot read secrets."""

from typing import Any, Literal

from contracts.process.sealing import CannotOpen, Keys, Sealed, webhook_of
from orchestrator.operate import audit

_SEALED = "SELECT url, sealed, sealed_by FROM discord_webhooks WHERE tenant_id = $1 FOR NO KEY UPDATE"

_RESEAL = "UPDATE discord_webhooks SET url = NULL, sealed = $2, sealed_by = $3 WHERE tenant_id = $1"

Resealing = Literal["none", "there already", "was in the clear", "sealed anew", "cannot be opened"]


async def reseal(connection: Any, tenant_id: str, known: Keys, *, actor: str, reason: str) -> Resealing:
    """In the tenant's transaction; audited if it changes anything."""
    row = await connection.fetchrow(_SEALED, tenant_id)
    if row is None:
        return "none"
    first, was = known.ids[0], row["sealed_by"]
    if row["url"] is None and was == first:
        return "there already"
    try:
        url = row["url"] or known.open(Sealed(was, row["sealed"]), webhook_of(tenant_id))
    except CannotOpen:
        return "cannot be opened"
    anew = known.seal(url, webhook_of(tenant_id))
    await connection.execute(_RESEAL, tenant_id, anew.sealed, anew.key_id)
    await audit.record(
        connection,
        actor=actor,
        action="seal webhook",
        tenant_id=tenant_id,
        reason=reason,
        before={"key": None if row["url"] else was},
        after={"key": first},
    )
    return "was in the clear" if row["url"] else "sealed anew"
