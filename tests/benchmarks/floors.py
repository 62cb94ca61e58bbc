"""What the same work costs at least: Postgres alone in groups, and the broker alone with bundles."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import asyncpg
import orjson
from uuid_utils.compat import uuid7

from tests.benchmarks.cpu import per_saga
from tests.benchmarks.noop import ITEMS
from tests.benchmarks.parts import Case, Measure, Metrics, Size
from tests.benchmarks.stage import Stage

GROUP = 50
GROUPS = 4
"""In flight side by side."""
BUNDLES = 10
"""On their way, confirmed or not."""
HOPS = 8
"""Messages of a saga of four steps: a command and a reply for each."""
COMMAND = {"padding": "x" * 280}
"""About 300 bytes, as our commands without facts."""

TABLES = """
CREATE TABLE floor_sagas (saga_id uuid PRIMARY KEY, entries int NOT NULL, state jsonb NOT NULL)
    WITH (fillfactor = 70);
CREATE TABLE floor_log (saga_id uuid, seq int, entry jsonb NOT NULL, PRIMARY KEY (saga_id, seq));
CREATE TABLE floor_usage (saga_id uuid PRIMARY KEY, items int NOT NULL, reported_at timestamptz);
"""
BEGIN = "INSERT INTO floor_sagas SELECT saga_id, 1, $2::jsonb FROM unnest($1::uuid[]) AS saga_id"
LOG = "INSERT INTO floor_log SELECT saga_id, $2, $3::jsonb FROM unnest($1::uuid[]) AS saga_id"
GO_ON = "UPDATE floor_sagas SET entries = $2, state = $3::jsonb WHERE saga_id = ANY ($1::uuid[])"
USAGE = "INSERT INTO floor_usage SELECT saga_id, 10 FROM unnest($1::uuid[]) AS saga_id ON CONFLICT DO NOTHING"
REPORT = "UPDATE floor_usage SET reported_at = now() WHERE saga_id = ANY ($1::uuid[])"
STATE = orjson.dumps(ITEMS).decode()


@asynccontextmanager
async def floors(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    yield partial(_floors, stage, size)


async def _floors(stage: Stage, size: Size) -> list[Case]:
    async with stage.database() as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        groups = await _for_a_while(stage, size, partial(_groups, url))
    bundles = await _for_a_while(stage, size, partial(_bundles, stage.amqp_url))
    return [
        Case(f"asyncpg, 5 commits per {GROUP} sagas, {GROUPS} groups in flight", groups),
        Case(f"aio-pika, {HOPS} messages per {GROUP} sagas, quorum queue", bundles),
    ]


Count = Callable[[int], None]


async def _for_a_while(stage: Stage, size: Size, work: Callable[[Count], Awaitable[None]]) -> Metrics:
    """Everything but the servers is this process: what it uses is the floor's Python."""
    done = 0

    def count(sagas: int) -> None:
        nonlocal done
        done += sagas

    task = asyncio.ensure_future(work(count))
    meter = stage.meter(lambda: [os.getpid()])
    try:
        await asyncio.wait([task], timeout=size.warm / 2)
        before, ended, began = meter.read(), done, time.perf_counter()
        await asyncio.wait([task], timeout=size.window / 2)
        sagas, seconds = done - ended, time.perf_counter() - began
        cost = per_saga(before, meter.read(), sagas)
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    cost.pop("CPU ms: client")
    return {"sagas/s": sagas / seconds, **cost}


async def _groups(url: str, count: Count) -> None:
    # Without the setting the plan of an empty table would go on to scan it when it has grown.
    settings = {"enable_seqscan": "off"}
    async with (
        asyncpg.create_pool(url, min_size=GROUPS, max_size=GROUPS, server_settings=settings) as pool,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(GROUPS):
            group.create_task(_group_after_group(pool, count))


async def _group_after_group(pool: Any, count: Count) -> None:
    while True:
        ids = [uuid7() for _ in range(GROUP)]
        for point in range(1, 6):
            async with pool.acquire() as connection, connection.transaction():
                if point == 1:
                    await connection.execute(BEGIN, ids, STATE)
                else:
                    await connection.execute(GO_ON, ids, point, STATE)
                await connection.execute(LOG, ids, point, STATE)
                if point in {3, 4}:
                    await connection.execute(USAGE if point == 3 else REPORT, ids)
        count(GROUP)


async def _bundles(amqp_url: str, count: Count) -> None:
    name = f"floor-{secrets.token_hex(4)}"
    body = orjson.dumps({"v": 1, "items": [COMMAND] * GROUP})
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    room, heard = asyncio.Semaphore(BUNDLES), 0

    async def hear(delivered: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal heard
        orjson.loads(delivered.body)
        await delivered.ack()
        room.release()
        heard += 1
        if heard % HOPS == 0:
            count(GROUP)

    sender, reader = await aio_pika.connect(amqp_url), await aio_pika.connect(amqp_url)
    async with sender, reader, sender.channel() as out, reader.channel() as back:
        await back.set_qos(prefetch_count=10 * BUNDLES)
        queue = await back.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.consume(hear)
        async with asyncio.TaskGroup() as group:
            while True:
                await room.acquire()
                group.create_task(_confirmed(out.default_exchange, message, name))


async def _confirmed(exchange: Any, message: aio_pika.Message, key: str) -> None:
    await exchange.publish(message, routing_key=key)
