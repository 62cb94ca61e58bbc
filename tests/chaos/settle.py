"""Waiting until nothing is under way any more."""

import asyncio
import time

import asyncpg

from tests.chaos.upstream import Upstream
from tests.kit.history.quiet import under_way

LOOK_SECONDS = 0.5
SILENCE = 1.5
"""Seconds without any event until upstream has surely heard everything."""


async def settled(database_url: str, upstream: Upstream, until: float) -> dict[str, int]:
    """What is still under way at that moment (of time.monotonic); nothing, as soon as nothing is."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        while True:
            heard, left = upstream.deliveries, await under_way(connection)
            if time.monotonic() > until:
                return left
            await asyncio.sleep(LOOK_SECONDS if left else SILENCE)
            if not left and upstream.deliveries == heard:
                return {}
    finally:
        await connection.close()
