"""Queues of its own for each test: a prefix, and nothing left of it afterwards."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika

from contracts.names import REPLIES, REQUESTS, Names, heard_queue
from orchestrator.sagas import REGISTERED
from steps import catalogue


def queue_names() -> list[str]:
    queues = [queue for saga in REGISTERED for queue in saga.queues()]
    heard = [heard_queue(step.name) for step in map(catalogue.find, catalogue.names()) if step.hears]
    return [REQUESTS, REPLIES, *dict.fromkeys(queues), *heard]


@asynccontextmanager
async def own_prefix(amqp_url: str) -> AsyncIterator[str]:
    names = Names(f"t{secrets.token_hex(4)}.")
    try:
        yield names.prefix
    finally:
        connection = await aio_pika.connect(amqp_url)
        async with connection, connection.channel() as channel:
            for queue in queue_names():
                await channel.queue_delete(names.queue(queue))
                await channel.queue_delete(names.dead_queue(queue))
            for exchange in (
                names.requests_exchange,
                names.commands_exchange,
                names.replies_exchange,
                names.events_exchange,
                names.dead_exchange,
            ):
                await channel.exchange_delete(exchange)
