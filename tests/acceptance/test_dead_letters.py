"""Dead letters of every kind are kept whole, and tried again by operators: once the cause is mended it works,
before that they die again, and two operators at once have one effect."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from contracts.names import REPLIES, REQUESTS, event_key, heard_queue, request_key
from contracts.process.postgres import Database, connect
from contracts.process.settings import PoolSettings
from orchestrator.operate.errors import Refused
from orchestrator.operate.orders import Ordered
from orchestrator.operate.replay import foresee_letter, replay_letter
from orchestrator.run.chores import DIED_AGAIN
from orchestrator.sagas import REGISTERED
from tests.kit.asking import lead_request
from tests.kit.operator import leadsaga
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import until
from tests.kit.system import RunningSystem

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]

QUEUES = list(dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues()))
HEARD = heard_queue("notify_discord")
PUBLISHED = {"done", DIED_AGAIN}
"""What becomes of the replay of a letter that dies again, a moment before or after it is marked."""


@pytest_asyncio.fixture(loop_scope="package")
async def operators(system: RunningSystem) -> AsyncIterator[Database]:
    url = system.children.environment["LEADSAGA_OPERATOR_URL"]
    async with connect(url, PoolSettings(), name="test") as database:
        yield database


async def replayed(operators: Database, letter: dict[str, Any], actor: str = "ann") -> Ordered:
    return await replay_letter(operators, letter["dead_letter_id"], actor=actor, reason="try it", wait=20)


async def nonsense_everywhere(system: RunningSystem, tenant_id: str, mark: bytes) -> None:
    upstream = system.upstream
    await upstream.send_raw(mark, request_key(tenant_id, "lead_requested"))
    await upstream.send_reply_bytes(mark)
    for queue in QUEUES:
        await upstream.send_command_bytes(queue, mark)
    await upstream._publish(system.names.events_exchange, event_key(tenant_id, "failed"), mark, None)


async def test_what_cannot_be_understood_is_kept_in_every_queue_and_dies_again_when_replayed(
    system: RunningSystem, operators: Database
) -> None:
    tenant, mark = await system.tenant(), b"\x00nonsense " + secrets.token_hex(8).encode()
    await nonsense_everywhere(system, tenant.tenant_id, mark)

    everywhere = {REQUESTS, REPLIES, HEARD, *QUEUES}
    await system.until_sql(
        "SELECT count(*) = $2 FROM dead_letters WHERE message = $1 AND status = 'open'", mark, len(everywhere)
    )
    letters = await system.dead_letters(mark)
    told = {letter["queue"]: (letter["tenant_id"], letter["routing_key"]) for letter in letters}
    assert everywhere == set(told)
    assert (tenant.tenant_id, f"{tenant.tenant_id}.lead_requested") == told.pop(REQUESTS)
    assert (tenant.tenant_id, f"{tenant.tenant_id}.failed") == told.pop(HEARD)
    assert {queue: (None, queue) for queue in told} == told
    assert {"Malformed"} == {letter["error"] for letter in letters}

    results = await asyncio.gather(*(replayed(operators, letter) for letter in letters))
    assert {each.result for each in results} <= PUBLISHED
    await system.until_sql(
        "SELECT count(*) = $2 FROM dead_letters WHERE message = $1 AND status = 'open' AND times_seen = 2",
        *(mark, len(everywhere)),
    )
    assert len(everywhere) == len(await system.dead_letters(mark))


async def test_a_request_in_the_name_of_another_tenant_is_refused_again_when_it_is_replayed(
    system: RunningSystem, operators: Database
) -> None:
    mallory, victim = await system.tenant(), await system.tenant()
    request = lead_request(victim)
    body = request.model_dump_json().encode()
    await system.upstream.send_raw(body, request_key(mallory.tenant_id, "lead_requested"))
    letter = await system.until_buried(request.request_id.encode())
    assert (mallory.tenant_id, body) == (letter["tenant_id"], letter["message"])

    assert (await replayed(operators, letter)).result in PUBLISHED

    await system.until_sql(
        "SELECT times_seen = 2 AND status = 'open' FROM dead_letters WHERE dead_letter_id = $1",
        letter["dead_letter_id"],
    )
    assert await system.saga_of(victim, request.request_id) is None
    assert [] == system.upstream.of(victim.tenant_id, request.request_id)


async def test_a_request_that_was_given_up_is_accepted_when_it_is_replayed_and_once(
    system: RunningSystem, operators: Database
) -> None:
    """Its reader failed on it, and is mended."""
    tenant = await system.tenant()
    request = lead_request(tenant)
    await system.kill("orchestrator")
    await system.upstream.ask(request)
    queue = await system.upstream.channel.get_queue(system.names.queue(REQUESTS), ensure=False)

    async def rejected() -> bool:
        message = await queue.get(fail=False)
        if message is not None:
            await message.reject(requeue=False)
        return message is not None

    await until(rejected, PATIENCE)
    await system.restart("orchestrator")
    letter = await system.until_buried(request.request_id.encode())
    assert ("BrokerGaveUp", tenant.tenant_id, "open") == (
        letter["error"], letter["tenant_id"], letter["status"],
    )  # fmt: skip

    ran = await asyncio.gather(
        *(replayed(operators, letter, actor) for actor in ("ann", "bob")), return_exceptions=True
    )

    assert ["Ordered", "Refused"] == sorted(type(each).__name__ for each in ran)
    assert "completed" == (await system.upstream.outcome(request)).event
    with pytest.raises(Refused, match="the dead letter is replayed"):
        await replayed(operators, letter)
    query = "SELECT count(*) FROM sagas WHERE tenant_id = $1"
    assert (1, 3) == (await system.sql.fetchval(query, tenant.tenant_id), await system.ledger(tenant))


async def test_a_parked_saga_goes_on_once_its_cause_is_mended_though_two_operators_replay_it_at_once(
    system: RunningSystem, operators: Database
) -> None:
    tenant = await system.tenant(known_to_stripe=False)
    request = lead_request(tenant)
    await system.upstream.ask(request)
    await system.upstream.outcome(request, "parked")
    letter = await system.until_buried(request.request_id.encode())
    foreseen = await foresee_letter(operators, letter["dead_letter_id"])
    assert (1, "") == (foreseen.attempts, foreseen.refused)
    assert "the flush may call the vendor, under the identifier that earlier calls had" == foreseen.cost

    customer = await system.billing.create_customer(tenant.tenant_id, f"{tenant.tenant_id} again")
    change = ("tenants", "set", tenant.tenant_id, "--stripe-customer", customer, "--reason", "a typing error")
    assert 0 == (await leadsaga(system, *change)).code
    ran = await asyncio.gather(
        *(replayed(operators, letter, actor) for actor in ("ann", "bob")), return_exceptions=True
    )

    assert ["Ordered", "Refused"] == sorted(type(each).__name__ for each in ran)
    assert "completed" == (await system.upstream.outcome(request, "completed")).event
    billed = sum(row["total"] for row in await system.sandbox.usage() if row["customer"] == customer)
    assert (3, 3) == (billed, await system.ledger(tenant))
    orders = "SELECT actor, reason, result FROM orders WHERE tenant_id = $1"
    (order,) = await system.sql.fetch(orders, tenant.tenant_id)
    assert ("try it", "done") == (order["reason"], order["result"])
    with pytest.raises(Refused, match="the saga completed at"):
        await replayed(operators, letter)
