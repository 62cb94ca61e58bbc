"""What a saga costs in statements, commits and messages, counted on the wire: the same on every machine.

`make bench` says how fast that is; this says that nobody makes it more without noticing.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import asyncpg
import pytest

from contracts.requests import LeadRequested
from tests.benchmarks.noop import NOOP, SCHEMA, STEPS
from tests.kit.pipeline import pipeline
from tests.kit.sandbox import until

pytestmark = pytest.mark.services

SAGAS = 50
PATIENCE = 30.0
GIVEN = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('p', 1, 'eur', 1000);
INSERT INTO tenants (tenant_id, name, plan_id, sagas_in_flight)
SELECT 't-' || n, 'T', 'p', 1000 FROM generate_series(0, 99) n
"""
ENDED = "SELECT count(*) FROM sagas WHERE status = 'completed'"

Cost = dict[str, int]

HOPS = len(NOOP.steps)
MESSAGES: dict[str, Cost] = {
    # A command for each step; of each saga it is told that it was accepted, and that it completed.
    "orchestrator": {"published": HOPS + 2 * SAGAS, "delivered": HOPS, "acks": HOPS},
    "steps": {"published": HOPS, "delivered": HOPS, "acks": HOPS},
}
"""However many sagas and tenants travel in a bundle."""

ORCHESTRATOR: Cost = {"commits": 1, "statements": 20, "round trips": 20}
STEPS_OF_ONE: Cost = {"commits": HOPS, "statements": 17, "round trips": 17}
STEPS_OF_MANY: Cost = {"commits": HOPS, "statements": 217, "round trips": 217}
"""A step works for one tenant after the other: of 50 sagas of 50 tenants each has its own statements, if the
step has any, and is set for them.

Bounds are what was counted when they were set. Who makes a saga cheaper lowers them.
"""


@asynccontextmanager
async def known(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        await connection.execute(SCHEMA)
        await connection.execute(GIVEN)
        yield connection
    finally:
        await connection.close()


async def forget(amqp_url: str, prefix: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        for queue in NOOP.queues():
            await channel.queue_delete(f"{prefix}{queue}")
            await channel.queue_delete(f"{prefix}{queue}.dead")


async def cost(
    database_url: str, amqp_url: str, prefix: str, *, sagas: int, tenants: int
) -> dict[str, Counter[str]]:
    """Of one bundle of sagas from their acceptance to their end."""
    requests = [
        LeadRequested(tenant_id=f"t-{n % tenants}", request_id=f"r-{n}", criteria="nothing", leads=10)
        for n in range(sagas)
    ]
    try:
        async with (
            known(database_url) as connection,
            pipeline(database_url, amqp_url, prefix, NOOP, list(STEPS.values())) as running,
        ):
            await running.ask(requests)

            async def ended() -> bool:
                return int(await connection.fetchval(ENDED)) == sagas

            await until(ended, PATIENCE)
    finally:
        await forget(amqp_url, prefix)
    return {side: running.counts(side) for side in ("orchestrator", "steps")}


def above(found: Counter[str], bound: Cost) -> Cost:
    return {name: found[name] for name, most in bound.items() if found[name] > most}


@pytest.mark.parametrize(("tenants", "steps"), [(1, STEPS_OF_ONE), (SAGAS, STEPS_OF_MANY)])
async def test_a_bundle_of_sagas_costs_no_more_than_it_did(
    database_url: str, amqp_url: str, queue_prefix: str, tenants: int, steps: Cost
) -> None:
    found = await cost(database_url, amqp_url, queue_prefix, sagas=SAGAS, tenants=tenants)
    assert {} == above(found["orchestrator"], ORCHESTRATOR | MESSAGES["orchestrator"])
    assert {} == above(found["steps"], steps | MESSAGES["steps"])


async def test_what_the_orchestrator_says_to_the_database_does_not_grow_with_the_bundle(
    database_url: str, amqp_url: str, queue_prefix: str
) -> None:
    alone = await cost(database_url, amqp_url, queue_prefix, sagas=1, tenants=1)
    assert {} == above(alone["orchestrator"], ORCHESTRATOR)
    assert {} == above(alone["steps"], STEPS_OF_ONE)
