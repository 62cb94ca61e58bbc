"""A tenant's Discord webhook: sealed before it is stored. Operators write it, and cannot read it."""

from typing import Any

from contracts.process.sealing import Keys, keys, refuse_unknown, webhook_of

_KEY_IDS = "SELECT key_id FROM secret_keys ORDER BY created_at, key_id"

_INTRODUCE = "INSERT INTO secret_keys (key_id) VALUES ($1) ON CONFLICT DO NOTHING"

# Operators may not read what they write, so nothing is taken from `excluded`.
_STORE = """
INSERT INTO discord_webhooks (tenant_id, sealed, sealed_by) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE
SET url = NULL, sealed = $2, sealed_by = $3, disabled_at = NULL, disabled_reason = NULL
"""


async def store_webhook(connection: Any, tenant_id: str, url: str) -> None:
    """In the tenant's transaction; enabled, whatever became of the one before. Raises BadSettings."""
    known = keys()
    await introduce(connection, known)
    sealed = known.seal(url, webhook_of(tenant_id))
    await connection.execute(_STORE, tenant_id, sealed.sealed, sealed.key_id)


async def introduce(connection: Any, known: Keys) -> list[str]:
    """To be called before anything is sealed. Returns the ids of all keys that are in use. Raises BadSettings
    rather than bring a key beside others that are not known here: it is likelier wrong than new."""
    needed = [str(row["key_id"]) for row in await connection.fetch(_KEY_IDS)]
    refuse_unknown(needed, known)
    await connection.execute(_INTRODUCE, known.ids[0])
    return list(dict.fromkeys([*needed, known.ids[0]]))
