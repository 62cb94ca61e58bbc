"""Celery on RabbitMQ: a chain of four tasks; quorum queue, late acks, confirmed publishes, no results."""

import asyncio
import os
from functools import cache
from typing import Any

import psycopg  # type: ignore[import-not-found]
from celery import Celery, chain  # type: ignore[import-not-found]
from kombu import Queue  # type: ignore[import-not-found]

from tests.benchmarks.peers.programs import usage
from tests.benchmarks.peers.programs.driving import drive
from tests.benchmarks.peers.programs.ends import Ends, tell_end

QUEUE = os.environ["PEER_QUEUE"]
INSERT = usage.INSERT.replace("$1", "%s").replace("$2", "%s")
REPORT = usage.REPORT.replace("$1", "%s")

app = Celery("peer", broker=os.environ["PEER_AMQP_URL"])
app.conf.update(
    task_queues=[Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=16,  # times four processes: 64
    worker_enable_remote_control=False,
    broker_transport_options={"confirm_publish": True},
    # Made as soon as there is a quorum queue, and not used here.
    broker_native_delayed_delivery_queue_type="classic",
)


@cache
def database() -> Any:
    """One connection for each process of the pool."""
    return psycopg.connect(os.environ["PEER_DATABASE_URL"], autocommit=True)


@app.task(name="make_items")  # type: ignore[untyped-decorator]
def make_items(key: str) -> tuple[str, usage.Items]:
    return key, usage.items()


@app.task(name="insert_usage")  # type: ignore[untyped-decorator]
def insert_usage(made: tuple[str, usage.Items]) -> str:
    key, items = made
    database().execute(INSERT, (key, len(items)))
    return key


@app.task(name="mark_reported")  # type: ignore[untyped-decorator]
def mark_reported(key: str) -> str:
    database().execute(REPORT, (key,))
    return key


@app.task(name="do_nothing")  # type: ignore[untyped-decorator]
def do_nothing(key: str) -> None:
    tell_end(key)


async def main() -> None:
    ends = Ends()

    async def saga(key: str) -> None:
        end = ends.of(key)
        chain(make_items.s(key), insert_usage.s(), mark_reported.s(), do_nothing.s()).apply_async()
        await end

    await drive(saga)


if __name__ == "__main__":
    asyncio.run(main())
