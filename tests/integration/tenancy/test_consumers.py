"""Every consumer is fed messages of a tenant that name what is another's: nothing of the other's moves."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.bundle import encode
from contracts.events import Event, Failed, Parked
from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command, Reply, reply_to
from contracts.names import REPLIES, REQUESTS, is_heard, request_key
from contracts.outcomes import Done
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from steps import catalogue
from tests.kit.all_consumers import HEARD, NAMES, QUEUES, STEP_QUEUES, Stage, items, said, staged
from tests.kit.commands import command

pytestmark = pytest.mark.services


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with staged(database_url) as found:
        yield found


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
        for item in items(sent.body)
    }
    assert {(each.tenant_id, each.saga_id) for each in honest} == answered
    buried = [sent.headers["error"] for sent in stage.recorder.sent if sent.exchange == NAMES.dead_exchange]
    assert ["NoSaga"] * len(forged) == buried
    assert before == await stage.victims()


def asks(tenant_id: str) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "request_id": "r", "criteria": "bakeries", "leads": 2}
