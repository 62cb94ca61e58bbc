"""Services that run already and were given by their URLs."""

from urllib.parse import urlsplit

import aio_pika
import asyncpg
from aio_pika.exceptions import AMQPError

from deploy.local.services.errors import ServiceSilent

ANSWER_SECONDS = 10.0


def place(url: str) -> str:
    """Host, port and path of a URL: what may be shown of it."""
    parts = urlsplit(url)
    return f"{(parts.netloc.rpartition('@')[2])}{parts.path}"


async def check_database(url: str) -> str:
    """The line that describes it. Raises ServiceSilent, without the URL's password."""
    try:
        connection = await asyncpg.connect(url, timeout=ANSWER_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _silent("LEADSAGA_DATABASE_URL", url, error) from None
    version = connection.get_server_version()
    await connection.close()
    return f"given by LEADSAGA_DATABASE_URL, PostgreSQL {version.major} at {place(url)}"


async def check_broker(url: str) -> str:
    """The line that describes it. Raises ServiceSilent, without the URL's password."""
    try:
        connection = await aio_pika.connect(url, timeout=ANSWER_SECONDS)
    except (OSError, TimeoutError, ValueError, AMQPError) as error:
        raise _silent("LEADSAGA_AMQP_URL", url, error) from None
    await connection.close()
    return f"given by LEADSAGA_AMQP_URL, at {place(url)}"


def _silent(setting: str, url: str, error: Exception) -> ServiceSilent:
    # The error's own text may repeat the URL.
    return ServiceSilent(f"The service of {setting} at {place(url)} cannot be used: {type(error).__name__}")
