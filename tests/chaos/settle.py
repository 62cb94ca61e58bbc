"""Waiting until nothing is under way any more."""

import asyncio
import time

import asyncpg

from tests.chaos.upstream import Upstream

LOOK_SECONDS = 0.5
SILENCE = 1.5
"""Seconds without any event until upstream has surely heard everything."""

UNDER_WAY = {
    "sagas": "SELECT count(*) FROM sagas WHERE status IN ('waiting', 'running', 'unwinding')",
    "events": "SELECT count(*) FROM events_out",
    "sends": "SELECT count(*) FROM intents WHERE state IN ('pending', 'sending')",
    "usage": "SELECT count(*) FROM uncarried",
    "owed answers": """
        SELECT count(*) FROM effects e JOIN sagas s USING (tenant_id, saga_id)
        WHERE e.owed AND s.status <> 'parked'
    """,
    "notices": "SELECT count(*) FROM notices WHERE state IN ('waiting', 'sending')",
}


async def settled(database_url: str, upstream: Upstream, until: float) -> dict[str, int]:
    """What is still under way at that moment (of time.monotonic); nothing, as soon as nothing is."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        while True:
            heard = upstream.deliveries
            left = {name: await connection.fetchval(query) for name, query in UNDER_WAY.items()}
            left = {name: count for name, count in left.items() if count}
            if time.monotonic() > until:
                return left
            await asyncio.sleep(LOOK_SECONDS if left else SILENCE)
            if not left and upstream.deliveries == heard:
                return {}
    finally:
        await connection.close()
