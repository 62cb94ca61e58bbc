"""Taskiq on RabbitMQ: each task kicks the next one; quorum queue, publishes confirmed."""

import os

import uvloop
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue  # type: ignore[import-not-found]

from tests.benchmarks.peers.programs import usage
from tests.benchmarks.peers.programs.driving import drive
from tests.benchmarks.peers.programs.ends import Ends, tell_end

PREFETCH = 100
QUEUE = os.environ["PEER_QUEUE"]

broker = AioPikaBroker(
    os.environ["PEER_AMQP_URL"],
    qos=PREFETCH,
    exchange=Exchange(name=QUEUE),
    task_queues=[Queue(name=QUEUE)],
    dead_letter_queue=Queue(name=f"{QUEUE}.dead"),
)


@broker.task("make_items")  # type: ignore[untyped-decorator]
async def make_items(key: str) -> None:
    await insert_usage.kiq(key, usage.items())


@broker.task("insert_usage")  # type: ignore[untyped-decorator]
async def insert_usage(key: str, items: usage.Items) -> None:
    await usage.insert(key, len(items))
    await mark_reported.kiq(key)


@broker.task("mark_reported")  # type: ignore[untyped-decorator]
async def mark_reported(key: str) -> None:
    await usage.report(key)
    await do_nothing.kiq(key)


@broker.task("do_nothing")  # type: ignore[untyped-decorator]
async def do_nothing(key: str) -> None:
    tell_end(key)


async def main() -> None:
    ends = Ends()

    async def saga(key: str) -> None:
        end = ends.of(key)
        await make_items.kiq(key)
        await end

    await broker.startup()
    await drive(saga)
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.run(main())
