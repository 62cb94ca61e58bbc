"""Words planted where secrets and tenants' texts are, and all the places where they must not turn up."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from contracts.names import Names
from tests.kit.broker import queue_names

TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'leadsaga'::regnamespace AND relkind = 'r' ORDER BY 1
"""


@dataclass(slots=True)
class Tap:
    """What goes over the broker: around the bodies, and in them."""

    around: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        async with message.process():
            info = {name: value for name, value in message.info().items() if name != "body"}
            self.around.append(f"{info} {message.headers}")
            self.bodies.append(message.body.decode(errors="replace"))


@asynccontextmanager
async def tapped(amqp_url: str, names: Names) -> AsyncIterator[Tap]:
    """A copy of each message of every exchange, from now on."""
    tap, connection = Tap(), await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        for exchange in (names.requests_exchange, names.events_exchange):
            await queue.bind(exchange, routing_key="#")
        for exchange in (names.commands_exchange, names.replies_exchange, names.dead_exchange):
            for key in queue_names():
                await queue.bind(exchange, routing_key=key)
                await queue.bind(exchange, routing_key=names.queue(key))
        await queue.consume(tap.hear)
        yield tap


async def waiting(amqp_url: str, names: Names) -> list[str]:
    """What lies in the queues, taken out of them."""
    found: list[str] = []
    for queue in (each(name) for name in queue_names() for each in (names.queue, names.dead_queue)):
        connection = await aio_pika.connect(amqp_url)
        async with connection, connection.channel() as channel:
            try:
                lying = await channel.get_queue(queue)
            except ChannelNotFoundEntity:
                continue
            while (message := await lying.get(fail=False, no_ack=True)) is not None:
                found.append(f"{message.info()} {message.headers}")
    return found


async def rows(sql: Any) -> dict[str, list[str]]:
    """Every row of every table as text, bytes readable, by table."""
    tables = [row[0] for row in await sql.fetch(TABLES)]
    return {table: [_text(row) for row in await sql.fetch(f"SELECT * FROM {table}")] for table in tables}


def _text(row: Any) -> str:
    return " ".join(
        value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in row.values()
    )


def seen(words: Iterable[str], where: Iterable[str]) -> set[str]:
    """Those of the words that turn up."""
    text = "\n".join(where)
    return {word for word in words if word in text}
