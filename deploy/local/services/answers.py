"""Whether a service answers at its URL, asked as its clients would."""

import asyncio
from urllib.parse import urlsplit

import aio_pika
import asyncpg
from aio_pika.exceptions import AMQPError

ATTEMPT_SECONDS = 5.0


async def port_answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def database_answers(url: str) -> bool:
    """False while it starts or recovers. A wrong password and the like raise."""
    try:
        connection = await asyncpg.connect(url, timeout=ATTEMPT_SECONDS)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
        return False
    await connection.close()
    return True


async def broker_answers(url: str) -> bool:
    parts = urlsplit(url)
    # A bare look first: an AMQP client says a lot about each attempt that fails.
    if not await port_answers(parts.hostname or "", parts.port or 0):
        return False
    try:
        connection = await aio_pika.connect(url, timeout=ATTEMPT_SECONDS)
    except (OSError, TimeoutError, AMQPError):
        return False
    await connection.close()
    return True
