"""Replies and commands that nobody should have sent: they take no effect, and are kept or counted."""

import json
import secrets
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.bundle import encode
from contracts.ids import Direction
from contracts.messages import Command, Reply
from contracts.outcomes import Done, Rejected
from contracts.requests import LeadRequested
from tests.kit.asking import delivered, lead_request
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]

UNKNOWN = "leadsaga_replies_unknown_total"
STALE = "leadsaga_replies_stale_total"
SLOW = 1.5


async def test_a_reply_for_an_unknown_saga_is_counted_and_logged(system: RunningSystem) -> None:
    tenant = await system.tenant()
    before = await system.metric("orchestrator", UNKNOWN)

    await system.upstream.send_replies(_done(tenant, uuid4(), "reserve_quota"))
    await delivered(system, lead_request(tenant))

    assert before + 1 == await system.metric("orchestrator", UNKNOWN)
    assert "reply_for_unknown_saga" in system.said("orchestrator")


async def test_replies_for_steps_that_are_not_awaited_change_nothing(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request, saga_id = await _generating(system, tenant)
    before = await _saga(system, saga_id)
    stale = await system.metric("orchestrator", STALE)

    await system.upstream.send_replies(
        _done(tenant, saga_id, "record_usage"),
        _done(tenant, saga_id, "report_to_stripe"),
        _done(tenant, saga_id, "notify_discord"),
        _done(tenant, saga_id, "no_such_step"),
        _done(tenant, saga_id, "generate_leads", attempt=99),
        _done(tenant, saga_id, "generate_leads", direction="undo"),
        _done(tenant, saga_id, "reserve_quota"),
        _reject(tenant, saga_id, "record_usage"),
    )

    await system.until_metric("orchestrator", STALE, stale + 8)
    assert before == await _saga(system, saga_id)
    assert 3 == (await system.upstream.outcome(request, "completed")).delivered
    assert 3 == await system.ledger(tenant)


async def test_a_reply_in_the_name_of_another_tenant_changes_nothing(system: RunningSystem) -> None:
    mallory, victim = await system.tenant(), await system.tenant()
    request, saga_id = await _generating(system, victim)
    before, unknown = await _saga(system, saga_id), await system.metric("orchestrator", UNKNOWN)

    await system.upstream.send_replies(_reject(mallory, saga_id, "generate_leads"))

    await system.until_metric("orchestrator", UNKNOWN, unknown + 1)
    assert before == await _saga(system, saga_id)
    assert "completed" == (await system.upstream.outcome(request)).event


async def test_malformed_replies_are_buried_and_the_sound_ones_beside_them_heard(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    mark = secrets.token_hex(8)
    unknown = await system.metric("orchestrator", UNKNOWN)
    sound = json.loads(_done(tenant, uuid4(), "reserve_quota").model_dump_json())

    await system.upstream.send_reply_bytes(json.dumps({"v": 1, "items": [{"mark": mark}, sound]}).encode())
    await system.upstream.send_reply_bytes(b"answer: " + mark.encode())

    await system.until_sql(
        "SELECT count(*) = 2 FROM dead_letters WHERE queue = 'replies' AND position($1 IN message) > 0",
        mark.encode(),
    )
    assert unknown + 1 == await system.metric("orchestrator", UNKNOWN)
    await delivered(system, lead_request(tenant))


@pytest.mark.parametrize(
    ("queue", "step", "direction"),
    [
        ("reserve_quota", "reserve_quota", "do"),
        ("release_quota", "reserve_quota", "undo"),
        ("generate_leads", "generate_leads", "do"),
        ("discard_leads", "generate_leads", "undo"),
        ("record_usage", "record_usage", "do"),
        ("report_to_stripe", "report_to_stripe", "do"),
        ("notify_discord", "notify_discord", "do"),
        ("refund_usage", "refund_usage", "do"),
        ("refund_at_stripe", "refund_at_stripe", "do"),
    ],
)
async def test_a_command_for_a_foreign_tenants_saga_is_buried_with_its_reason(
    system: RunningSystem, queue: str, step: str, direction: Direction
) -> None:
    mallory, victim = await system.tenant(), await system.tenant()
    request = lead_request(victim)
    await delivered(system, request)
    saga_id = await system.saga_of(victim, request.request_id)
    before = await _saga(system, saga_id)

    forged = _command(mallory, saga_id, request, step, direction)
    await system.upstream.send_command_bytes(queue, encode([forged]))

    letter = await system.until_buried(mallory.tenant_id.encode())
    assert "the saga does not exist for this tenant" == letter["reason"]
    assert (queue, mallory.tenant_id, saga_id) == (letter["queue"], letter["tenant_id"], letter["saga_id"])
    assert before == await _saga(system, saga_id)
    assert (0, 3) == (await system.ledger(mallory), await system.ledger(victim))
    await delivered(system, lead_request(victim))


@pytest.mark.parametrize("queue", ["reserve_quota", "generate_leads"])
async def test_malformed_commands_are_buried_each_with_its_reason(system: RunningSystem, queue: str) -> None:
    tenant = await system.tenant()
    mark = secrets.token_hex(8)

    items = [{"mark": mark}, mark, {"tenant_id": mark, "attempt": 0}]
    await system.upstream.send_command_bytes(queue, json.dumps({"v": 1, "items": items}).encode())
    await system.upstream.send_command_bytes(queue, b"do it: " + mark.encode())
    await system.upstream.send_command_bytes(queue, b'{"v":1,"items":[]}')
    await delivered(system, lead_request(tenant))

    await system.until_sql(
        "SELECT count(*) = 4 FROM dead_letters WHERE position($1 IN message) > 0", mark.encode()
    )
    letters = await system.dead_letters(mark.encode())
    assert {(queue, "Malformed", "open")} == {
        (letter["queue"], letter["error"], letter["status"]) for letter in letters
    }
    assert "not JSON" in {letter["reason"] for letter in letters}


async def test_a_command_in_the_wrong_queue_is_buried_and_not_run(system: RunningSystem) -> None:
    tenant = await system.tenant()
    request = lead_request(tenant)
    await delivered(system, request)
    saga_id = await system.saga_of(tenant, request.request_id)

    astray = _command(tenant, saga_id, request, "refund_usage", "do")
    await system.upstream.send_command_bytes("record_usage", encode([astray]))

    letter = await system.until_buried(str(saga_id).encode())
    assert "a command of another queue arrived in record_usage" == letter["reason"]
    assert 3 == await system.ledger(tenant)


async def test_a_command_that_cannot_even_be_answered_is_buried(system: RunningSystem) -> None:
    """Its attempt is beyond all reason: it is not understood, and kept as it came."""
    tenant = await system.tenant()
    request = lead_request(tenant)
    await delivered(system, request)
    saga_id = await system.saga_of(tenant, request.request_id)

    sane = _command(tenant, saga_id, request, "refund_usage", "do", attempt=1)
    absurd = sane.model_copy(update={"attempt": 10**12})
    await system.upstream.send_command_bytes("refund_usage", encode([absurd]))

    letter = await system.until_buried(b'"attempt":1000000000000')
    assert ("refund_usage", None) == (letter["queue"], letter["attempt"])
    await delivered(system, lead_request(tenant))


def _done(
    tenant: Tenant, saga_id: UUID, step: str, *, attempt: int = 1, direction: Direction = "do"
) -> Reply:
    return Reply(
        tenant_id=tenant.tenant_id,
        saga_id=saga_id,
        saga="lead",
        step=step,
        direction=direction,
        attempt=attempt,
        outcome=Done(facts={"leads": 500}),
    )


def _reject(tenant: Tenant, saga_id: UUID, step: str) -> Reply:
    forged = Rejected(reason="said somebody else")
    return _done(tenant, saga_id, step).model_copy(update={"outcome": forged})


def _command(
    tenant: Tenant, saga_id: UUID, request: LeadRequested, step: str, direction: Direction, attempt: int = 1
) -> Command:
    return Command(
        tenant_id=tenant.tenant_id,
        saga_id=saga_id,
        saga="lead",
        request_id=request.request_id,
        step=step,
        direction=direction,
        attempt=attempt,
        last=False,
        timeout=10,
        request=request.model_dump(mode="json"),
    )


async def _generating(system: RunningSystem, tenant: Tenant) -> tuple[LeadRequested, UUID]:
    """A request whose saga waits for the model."""
    request = lead_request(tenant)
    await system.sandbox.fault("anthropic.messages", match=request.request_id, delay_seconds=SLOW)
    await system.upstream.ask(request)
    await system.until_sql(
        "SELECT count(*) > 0 FROM effects WHERE tenant_id = $1 AND step = 'generate_leads'", tenant.tenant_id
    )
    return request, await system.saga_of(tenant, request.request_id)


async def _saga(system: RunningSystem, saga_id: UUID) -> dict[str, Any]:
    row = await system.sql.fetchrow("SELECT * FROM sagas WHERE saga_id = $1", saga_id)
    assert row is not None
    return dict(row)
