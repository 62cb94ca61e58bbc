"""Every consumer is fed messages of a tenant that name what is another's: nothing of the other's moves."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.bundle import encode
from contracts.events import Event, Failed, Parked
from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command, Reply, reply_to
from contracts.names import REPLIES, REQUESTS, Names, is_heard, request_key
from contracts.outcomes import Done
from contracts.process.consuming import Delivery, Subscription, read_delivery
from contracts.process.postgres import connect
from contracts.process.publishing import Outgoing
from contracts.process.settings import PoolSettings
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.bus.consume import Ears
from orchestrator.sagas import REGISTERED
from steps import catalogue
from steps.runtime.consume import Consumer
from tests.kit.commands import command
from tests.kit.engine import Engine, Time, lead, make_engine
from tests.kit.ledger import Ledger
from tests.kit.roles import as_role
from tests.kit.store_postgres import PostgresWorld
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

pytestmark = pytest.mark.services

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
        await subscription.handler(read_delivery(_Message(raw, body), subscription.item_type))


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


@dataclass
class _Message:
    raw_message: _Raw
    body: bytes


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
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


def of_globex(of_acme: Command, queue: str) -> Command:
    """A command of another tenant, about a saga of acme's. It may say anything that acme's would."""
    step = next(step for step in map(catalogue.find, catalogue.names()) if queue in step.work())
    return of_acme.model_copy(
        update={
            "tenant_id": "globex",
            "step": step.name,
            "direction": "do" if queue == step.name else "undo",
            "attempt": 9,
        }
    )


def bodies(stage: Stage, queue: str) -> list[tuple[bytes, str]]:
    """Messages for a queue, with their routing keys."""
    base = queue.removesuffix(".dead")
    if base == REQUESTS:
        return requests(stage)
    if base == REPLIES:
        return [(encode([forged_reply(stage.under_way), forged_reply(stage.delivered)]), REPLIES)]
    if is_heard(queue):
        return [(encode([event]), f"globex.{event.event}") for event in events(stage)]
    forged = [of_globex(each, base) for each in (stage.delivered, stage.under_way)]
    return [(encode(forged), base)]


def forged_reply(of_acme: Command) -> Reply:
    return reply_to(of_acme, Done(facts={"leads": 3})).model_copy(update={"tenant_id": "globex"})


def requests(stage: Stage) -> list[tuple[bytes, str]]:
    """Of globex, about acme's; and in acme's name."""
    theirs = stage.under_way.request_id
    about: list[Any] = [
        CancelRequested(tenant_id="globex", request_id=theirs, reason="mine now"),
        RefundRequested(tenant_id="globex", request_id=theirs, refund_id="f", reason="mine now"),
    ]
    named = [
        LeadRequested(tenant_id="acme", request_id="new", criteria="bakeries", leads=1),
        CancelRequested(tenant_id="acme", request_id=theirs, reason="mine now"),
    ]
    return [(each.model_dump_json().encode(), request_key("globex", each.type)) for each in about + named]


def events(stage: Stage) -> list[Event]:
    common: dict[str, Any] = {
        "event_id": uuid4(),
        "tenant_id": "globex",
        "request_id": "r",
        "saga": "lead",
        "saga_id": stage.under_way.saga_id,
        "at": datetime.now(UTC),
        "reason": "no",
    }
    return [Failed(**common), Parked(**common, step="record_usage")]


def test_every_consumer_is_fed() -> None:
    of_the_engine = {
        REQUESTS,
        REPLIES,
        *(NAMES.dead_queue(each) for each in [REQUESTS, REPLIES, *STEP_QUEUES]),
    }
    of_the_steps = {queue for name in catalogue.names() for queue in catalogue.find(name).work()}
    assert of_the_engine | of_the_steps | {f"{step.name}.heard" for step in HEARD} == set(QUEUES)


@pytest.mark.parametrize("queue", QUEUES)
async def test_nothing_moves_that_is_another_tenants(stage: Stage, queue: str) -> None:
    before = await stage.victims()
    assert before["sagas"]
    assert before["ledger"]
    assert before["leads"]
    for body, routing_key in bodies(stage, queue):
        await stage.feed(queue, body, routing_key)
    # What was said in acme's name is kept as a dead letter of globex.
    assert before == await stage.victims()
    assert "done" not in [reply for reply in said(stage) if reply]


async def test_who_speaks_in_anothers_name_is_audited_and_not_answered(stage: Stage) -> None:
    asked = LeadRequested(tenant_id="acme", request_id="new", criteria="bakeries", leads=1)
    await stage.feed(REQUESTS, asked.model_dump_json().encode(), "globex.lead_requested")
    (row,) = await stage.at_work.admin.fetch("SELECT * FROM audit")
    letter = await stage.at_work.admin.fetchrow("SELECT * FROM dead_letters")
    assert ("orchestrator", "refuse sender", "acme") == (row["actor"], row["action"], row["tenant_id"])
    told = json.loads(row["after"])
    assert {"routing_key": "globex.lead_requested", "user": "", "message_id": letter["message_id"]} == told
    assert ("globex", "Malformed", "open") == (letter["tenant_id"], letter["error"], letter["status"])
    assert 0 == await stage.at_work.admin.fetchval(
        "SELECT count(*) FROM events_out WHERE body LIKE '%refused%'"
    )


def said(stage: Stage) -> list[str]:
    """Kinds of the answers that steps would have given."""
    return [
        item["outcome"]["kind"]
        for sent in stage.recorder.sent
        if sent.exchange == NAMES.replies_exchange
        for item in _items(sent.body)
    ]


def _items(body: bytes) -> list[Any]:
    delivery: Delivery = read_delivery(_Message(_Raw(body, REPLIES), body), Reply)
    return [item.model_dump(mode="json") for item in delivery.sound]


async def test_a_command_of_a_tenant_with_another_ones_facts_finds_nothing_there(stage: Stage) -> None:
    """The saga is its own; what it points at is not."""
    mine = await stage.at_work.saga("globex")
    theirs = await stage.at_work.admin.fetchval("SELECT ledger_id FROM ledger WHERE tenant_id = 'acme'")
    before = await stage.victims()
    refund = {
        "tenant_id": "globex",
        "refund_id": "f-1",
        "request_id": stage.delivered.request_id,
        "leads": None,
        "reason": "mine now",
        "requested_by": "eve",
    }
    for step, saga, facts, request in (
        ("report_to_stripe", "lead", UsageRecorded(leads=3, ledger_id=theirs), {}),
        ("refund_at_stripe", "refund", UsageRefunded(leads=1, ledger_id=theirs, original_id=theirs), {}),
        ("refund_usage", "refund", None, refund),
    ):
        told = {} if facts is None else {facts.STEP: facts.model_dump(mode="json")}
        forged = command(
            "globex",
            mine,
            step,
            saga=saga,
            facts=told,
            request=request,
            request_id=stage.delivered.request_id,
        )
        await stage.feed(step, encode([forged]))
    assert before == await stage.victims()
    carried = "SELECT count(*) FROM carriers WHERE tenant_id = 'globex'"
    assert 0 == await stage.at_work.admin.fetchval(carried)
    assert 0 == await stage.at_work.net("globex")


async def test_in_a_bundle_of_many_tenants_each_gets_its_own_and_the_forged_ones_nothing(
    stage: Stage,
) -> None:
    """Sorted, shuffled, twice and mixed with commands that name a neighbour's saga."""
    tenants = ["globex", *(f"t{number}" for number in range(4))]
    for tenant_id in tenants[1:]:
        await stage.at_work.tenant(tenant_id)
    honest = [
        command(tenant_id, await stage.at_work.saga(tenant_id), "reserve_quota", request=asks(tenant_id))
        for tenant_id in [*tenants, *tenants]
    ]
    forged = [
        each.model_copy(update={"tenant_id": tenants[(place + 1) % len(tenants)]})
        for place, each in enumerate(honest)
    ]
    before = await stage.victims()
    mixed = [each for pair in zip(forged, reversed(honest), strict=True) for each in pair]
    await stage.feed("reserve_quota", encode([*mixed, *honest]))
    held = await stage.at_work.admin.fetch("SELECT tenant_id, saga_id FROM holds WHERE tenant_id <> 'acme'")
    assert {(each.tenant_id, each.saga_id) for each in honest} == {tuple(row) for row in held}
    answered: set[tuple[str, UUID]] = {
        (item["tenant_id"], UUID(item["saga_id"]))
        for sent in stage.recorder.sent
        if sent.exchange == NAMES.replies_exchange
        for item in _items(sent.body)
    }
    assert {(each.tenant_id, each.saga_id) for each in honest} == answered
    buried = [sent.headers["error"] for sent in stage.recorder.sent if sent.exchange == NAMES.dead_exchange]
    assert ["NoSaga"] * len(forged) == buried
    assert before == await stage.victims()


def asks(tenant_id: str) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "request_id": "r", "criteria": "bakeries", "leads": 2}
