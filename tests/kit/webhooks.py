"""Webhooks as the operators' tool stores them: sealed, with a key of the tests."""

from typing import Any

from contracts.process.sealing import Keys, Sealed, webhook_of

SECRETS_KEY, SECOND_KEY = "5e" * 32, "0d" * 32
KEYS = Keys((bytes.fromhex(SECRETS_KEY),))

_STORED = "SELECT tenant_id, url, sealed, sealed_by FROM discord_webhooks ORDER BY tenant_id"


async def stored_webhooks(admin: Any) -> dict[str, str]:
    """Of each tenant, opened. Raises CannotOpen."""
    return {row["tenant_id"]: opened(row) for row in await admin.fetch(_STORED)}


def opened(row: Any) -> str:
    """Raises CannotOpen."""
    if row["url"] is not None:
        return str(row["url"])
    return KEYS.open(Sealed(row["sealed_by"], row["sealed"]), webhook_of(row["tenant_id"]))
