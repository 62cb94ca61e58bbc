"""An order is a row with its audit row; the tool waits for what the orchestrator makes of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import uuid_utils.compat

from contracts.outcomes import Rejected
from orchestrator.run.group import Surroundings, process
from orchestrator.run.items import Ordered
from orchestrator.sagas import sagas
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import NOON, begin, done, incoming, replied, saga_id, start, tell

KEY = ("acme", saga_id(1))
MUST = Rejected(reason="the ledger is closed")


@asynccontextmanager
async def orchestrator(world: PostgresWorld) -> AsyncIterator[None]:
    """Takes orders as they come, as the orchestrator does."""
    around = Surroundings(
        store=world.store,
        sagas=sagas(),
        clock=lambda: NOON,
        draw=random.random,
        new_id=uuid_utils.compat.uuid7,
        limit=10,
    )

    async def take() -> None:
        while True:
            orders = await world.store.open_orders(limit=10)
            await process(around, [Ordered(order) for order in orders])
            await asyncio.sleep(0.02)

    task = asyncio.create_task(take())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def parked(world: PostgresWorld) -> UUID:
    """A saga whose pivot is spent, and may have happened."""
    await begin(world, incoming(1))
    await tell(world, [KEY], start(), done("reserve_quota"), done("generate_leads"))
    from contracts.outcomes import Unknown  # noqa: PLC0415

    for attempt in range(1, 20):
        await tell(world, [KEY], replied("record_usage", Unknown(reason="no answer"), attempt=attempt))
        state = await world.owner.pool.fetchval("SELECT status FROM sagas")
        if state == "parked":
            return KEY[1]
        from datetime import timedelta  # noqa: PLC0415

        from orchestrator.core.news import Due  # noqa: PLC0415

        await tell(world, [KEY], Due(at=NOON + timedelta(minutes=4)))
    raise AssertionError("it was never parked")
