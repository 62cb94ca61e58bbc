"""The exchanges and queues, derived from the saga definitions and declared at start by whoever needs them.

The same arguments on RabbitMQ 3.10 and 4.x. Arguments are frozen once declared: other arguments mean other
names. Retry delays are not here: they live in Postgres, exact and visible.
"""

from collections.abc import Iterable

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue

from contracts.names import REPLIES, REQUESTS, Names, heard_queue

DELIVERY_LIMIT = 1000
"""Only catches what kills its consumer before it can be decoded. The runtime deals with poison long before;
restarts of healthy consumers raise the count of everything they had prefetched."""

NEVER = 1_000_000_000


async def declare_exchanges(channel: AbstractChannel, names: Names) -> None:
    await channel.declare_exchange(names.requests_exchange, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(names.events_exchange, ExchangeType.TOPIC, durable=True)
    for name in (names.commands_exchange, names.replies_exchange, names.dead_exchange):
        await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)


async def declare_steps(channel: AbstractChannel, names: Names, queues: Iterable[str]) -> None:
    for name in queues:
        queue = await _declare_work_queue(channel, names, name)
        await queue.bind(names.commands_exchange, routing_key=name)


async def declare_engine(channel: AbstractChannel, names: Names) -> None:
    replies = await _declare_work_queue(channel, names, REPLIES)
    await replies.bind(names.replies_exchange, routing_key=REPLIES)
    requests = await _declare_work_queue(channel, names, REQUESTS)
    await requests.bind(names.requests_exchange, routing_key="#")


async def declare_heard(channel: AbstractChannel, names: Names, step: str, events: Iterable[str]) -> None:
    """A queue for a step that listens to events of all tenants. What dies in it lies with the step's own dead
    letters, which are drained."""
    queue = await _declare_work_queue(channel, names, heard_queue(step), dead=step)
    for event in events:
        await queue.bind(names.events_exchange, routing_key=f"*.{event}")


async def _declare_work_queue(
    channel: AbstractChannel, names: Names, name: str, dead: str | None = None
) -> AbstractQueue:
    """A quorum queue with its dead-letter queue. The dead-letter queue comes first: at-least-once
    dead-lettering keeps messages in the source while the target does not exist."""
    grave = dead or name
    letters = await channel.declare_queue(
        names.dead_queue(grave),
        durable=True,
        # A dead letter has nowhere else to go: it is never given up, however often its reader dies.
        arguments={"x-queue-type": "quorum", "x-delivery-limit": NEVER},
    )
    await letters.bind(names.dead_exchange, routing_key=grave)
    return await channel.declare_queue(
        names.queue(name),
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": names.dead_exchange,
            "x-dead-letter-routing-key": grave,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
