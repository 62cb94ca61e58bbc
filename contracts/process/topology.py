"""The exchanges and queues, derived from the saga definitions and declared at start by whoever needs them.

The same arguments on RabbitMQ 3.10 and 4.x. Arguments are frozen once declared: other arguments mean other
names. Retry delays are not here: they live in Postgres, exact and visible.

`passive`: nothing is declared, only looked for, by processes whose users may not declare. What is missing
raises what `MISSING` lists.
"""

from collections.abc import Iterable
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from contracts.names import REPLIES, REQUESTS, Names, heard_queue

DELIVERY_LIMIT = 1000
"""Only catches what kills its consumer before it can be decoded. The runtime deals with poison long before;
restarts of healthy consumers raise the count of everything they had prefetched."""

NEVER = 1_000_000_000

MISSING = (ChannelNotFoundEntity,)
"""Somebody has not declared it yet."""


def exchange_types(names: Names) -> dict[str, ExchangeType]:
    topic = dict.fromkeys((names.requests_exchange, names.events_exchange), ExchangeType.TOPIC)
    direct = (names.commands_exchange, names.replies_exchange, names.dead_exchange)
    return {**topic, **dict.fromkeys(direct, ExchangeType.DIRECT)}


def work_arguments(names: Names, grave: str) -> dict[str, Any]:
    """Of a queue whose dead go to the dead-letter queue of `grave`."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": names.dead_exchange,
        "x-dead-letter-routing-key": grave,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def dead_arguments() -> dict[str, Any]:
    # A dead letter has nowhere else to go: it is never given up, however often its reader dies.
    return {"x-queue-type": "quorum", "x-delivery-limit": NEVER}


async def declare_exchanges(channel: AbstractChannel, names: Names, *, passive: bool = False) -> None:
    for name, kind in exchange_types(names).items():
        await channel.declare_exchange(name, kind, durable=True, passive=passive)


async def declare_steps(
    channel: AbstractChannel, names: Names, queues: Iterable[str], *, passive: bool = False
) -> None:
    for name in queues:
        queue = await _declare_work_queue(channel, names, name, passive=passive)
        if not passive:
            await queue.bind(names.commands_exchange, routing_key=name)


async def declare_engine(channel: AbstractChannel, names: Names, *, passive: bool = False) -> None:
    replies = await _declare_work_queue(channel, names, REPLIES, passive=passive)
    requests = await _declare_work_queue(channel, names, REQUESTS, passive=passive)
    if not passive:
        await replies.bind(names.replies_exchange, routing_key=REPLIES)
        await requests.bind(names.requests_exchange, routing_key="#")


async def declare_heard(
    channel: AbstractChannel, names: Names, step: str, events: Iterable[str], *, passive: bool = False
) -> None:
    """A queue for a step that listens to events of all tenants. What dies in it lies with the step's own dead
    letters, which are drained."""
    queue = await _declare_work_queue(channel, names, heard_queue(step), dead=step, passive=passive)
    for event in () if passive else events:
        await queue.bind(names.events_exchange, routing_key=f"*.{event}")


async def _declare_work_queue(
    channel: AbstractChannel, names: Names, name: str, *, passive: bool, dead: str | None = None
) -> AbstractQueue:
    """A quorum queue with its dead-letter queue. The dead-letter queue comes first: at-least-once
    dead-lettering keeps messages in the source while the target does not exist."""
    grave = dead or name
    letters = await channel.declare_queue(
        names.dead_queue(grave), durable=True, passive=passive, arguments=dead_arguments()
    )
    if not passive:
        await letters.bind(names.dead_exchange, routing_key=grave)
    return await channel.declare_queue(
        names.queue(name), durable=True, passive=passive, arguments=work_arguments(names, grave)
    )
