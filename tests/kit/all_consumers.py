"""Every consumer of the system on one database, in front of a recorder instead of a broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from contracts.messages import Command, Reply
from contracts.names import REPLIES, REQUESTS, Names
from contracts.process.consuming import Delivery, Subscription, read_delivery
from contracts.process.postgres import connect
from contracts.process.publishing import Outgoing
from contracts.process.settings import PoolSettings
from orchestrator.bus.consume import Ears
from orchestrator.sagas import REGISTERED
from steps import catalogue
from steps.runtime.consume import Consumer
from tests.kit.engine import Engine, Time, lead, make_engine
from tests.kit.ledger import Ledger
from tests.kit.roles import as_role
from tests.kit.store_postgres import PostgresWorld
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

NAMES = Names()
STEP_QUEUES = list(dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues()))
HEARD = [step for step in map(catalogue.find, catalogue.names()) if step.hears]
QUEUES = [
    *(REQUESTS, REPLIES, *STEP_QUEUES),
    *(NAMES.dead_queue(queue) for queue in [REQUESTS, REPLIES, *STEP_QUEUES]),
    *(f"{step.name}.heard" for step in HEARD),
]


@dataclass
class Recorder:
    """In place of the broker: what a step would publish."""

    sent: list[Outgoing] = field(default_factory=list)

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        self.sent += messages


class NobodyCalls:
    """In place of a vendor's client."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a vendor was asked for {name}")


@dataclass
class Stage:
    """Two tenants on one database, and every consumer of the system. All that is acme's is the victim's."""

    at_work: TenantsAtWork
    engine: Engine
    subscriptions: dict[str, Subscription]
    recorder: Recorder
    delivered: Command
    """Of acme: recorded, billed soon."""
    under_way: Command
    """Of acme: the engine waits for the answer."""

    async def victims(self) -> dict[str, list[str]]:
        """Every row of acme's, in every table; what the audit says of it has a test of its own."""
        found = await self._rows("tenant_id = 'acme'")
        del found["audit"]
        return found

    async def _rows(self, whose: str) -> dict[str, list[str]]:
        tables = await self.at_work.admin.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind = 'r' AND a.attname = 'tenant_id'"
        )
        found: dict[str, list[str]] = {}
        for (table,) in map(tuple, tables):
            rows = await self.at_work.admin.fetch(
                f"SELECT to_jsonb(t)::text FROM {table} t WHERE {whose} ORDER BY 1"
            )
            found[table] = [row[0] for row in rows]
        return found

    async def feed(self, queue: str, body: bytes, routing_key: str = "") -> None:
        """As the broker would deliver it, for the first time."""
        subscription = self.subscriptions[queue]
        raw = _Raw(body, routing_key or queue, buried(queue, routing_key))
        await subscription.handler(read_delivery(raw, subscription.item_type))


def buried(queue: str, routing_key: str) -> dict[str, Any]:
    """What the broker notes of a message that it moves to the dead letters."""
    base = queue.removesuffix(".dead")
    note = {"queue": base, "reason": "rejected", "routing-keys": [routing_key]}
    return {} if base == queue else {"x-death": [note]}


@dataclass
class _Raw:
    body: bytes
    routing_key: str
    headers: dict[str, Any] = field(default_factory=dict)
    message_id: str = field(default_factory=lambda: str(uuid4()))
    redelivered: bool = False
    user_id: str | None = None


@asynccontextmanager
async def staged(database_url: str) -> AsyncIterator[Stage]:
    async with (
        tenants_at_work(database_url) as at_work,
        connect(as_role(database_url, "leadsaga_engine"), PoolSettings(), name="test") as engine_side,
        connect(database_url, PoolSettings(pool_size=2), name="test") as owner,
    ):
        await at_work.tenant("acme")
        await at_work.tenant("globex")
        engine = make_engine(PostgresWorld(engine_side, owner), Time())
        recorder = Recorder()
        async with _ears(engine) as heard:
            subscriptions = heard | _steps(at_work, recorder)
            delivered = await Ledger(at_work).delivered(3)
            under_way = await engine.begin(lead(1))
            yield Stage(at_work, engine, subscriptions, recorder, delivered, under_way)


@asynccontextmanager
async def _ears(engine: Engine) -> AsyncIterator[dict[str, Subscription]]:
    async def publish(_: object) -> None: ...

    loop = engine.loop(publish)
    running = asyncio.create_task(loop.run())
    try:
        yield {each.queue: each for each in Ears(loop, loop, NAMES).subscriptions(STEP_QUEUES)}
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _steps(at_work: TenantsAtWork, recorder: Recorder) -> dict[str, Subscription]:
    consumers = [
        Consumer(catalogue.find(name), NAMES, at_work.memory, recorder, NobodyCalls())
        for name in catalogue.names()
    ]
    return {each.queue: each for consumer in consumers for each in consumer.subscriptions()}


def said(stage: Stage) -> list[str]:
    """Kinds of the answers that steps would have given."""
    return [
        item["outcome"]["kind"]
        for sent in stage.recorder.sent
        if sent.exchange == NAMES.replies_exchange
        for item in items(sent.body)
    ]


def items(body: bytes) -> list[Any]:
    delivery: Delivery = read_delivery(_Raw(body, REPLIES), Reply)
    return [item.model_dump(mode="json") for item in delivery.sound]
