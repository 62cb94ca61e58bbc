"""Processes of two releases on one broker and one database: during an upgrade, and on the way back."""

import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aio_pika
import pytest
import pytest_asyncio

from contracts.requests import LeadRequested
from orchestrator.run.intake import BEING_UPGRADED
from tests.kit.asking import cancel_of, lead_request
from tests.kit.broker import own_prefix
from tests.kit.database import cloned
from tests.kit.releases import LEAD_2
from tests.kit.sandbox import free_port, running_sandbox
from tests.kit.system import RunningSystem, Tenant, running_system

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

REQUESTS = 6
GRACE = 25.0
NEWER = {"newer": "orchestrator", "verify_emails": "verify_emails"}
"""Processes that only the newer release has."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningSystem]:
    """The older release, all of it, and the newer one beside it."""
    directory = tmp_path_factory.mktemp("system")
    async with (
        cloned(admin_url, template) as database_url,
        own_prefix(amqp_url) as prefix,
        running_sandbox(directory / "sandbox") as sandbox_url,
        running_system(database_url, amqp_url, prefix, sandbox_url, directory) as running,
    ):
        for name, what in NEWER.items():
            running.ports[name] = free_port()  # type: ignore[index]
            running.children.start(name, ["-m", "tests.kit.releases", what], running.ports[name])
        await running.ready(*NEWER)
        yield running
        await running.children.stop()
        await _forget(amqp_url, prefix)


async def _forget(amqp_url: str, prefix: str) -> None:
    """The queues that only the newer release has."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        for queue in ("verify_emails", "keep_emails"):
            await channel.queue_delete(f"{prefix}{queue}")
            await channel.queue_delete(f"{prefix}{queue}.dead")


async def test_sagas_begun_by_either_release_end_while_both_run(system: RunningSystem) -> None:
    tenant = await system.tenant()
    requests = [lead_request(tenant, leads=2) for _ in range(REQUESTS)]

    await system.upstream.ask(*requests)

    await _completed(system, requests)
    begun = await system.sql.fetch(
        "SELECT DISTINCT version FROM sagas WHERE tenant_id = $1", tenant.tenant_id
    )
    assert {1, 2} == {row["version"] for row in begun}
    await _billed(system, tenant, 2 * REQUESTS)
    steps = await system.sql.fetch(
        "SELECT s.version, count(*) FILTER (WHERE e.step = 'verify_emails') AS verified FROM sagas s"
        " JOIN effects e USING (tenant_id, saga_id) WHERE s.tenant_id = $1 GROUP BY s.saga_id, s.version",
        tenant.tenant_id,
    )
    assert {(1, 0), (2, 1)} == {tuple(row) for row in steps}


async def test_on_the_way_back_newer_sagas_wait_unharmed_and_the_older_release_works_on(
    system: RunningSystem,
) -> None:
    tenant = await system.tenant()
    left, unwanted, plain = (lead_request(tenant, leads=3) for _ in range(3))
    await system.kill("orchestrator")
    await system.kill("verify_emails")
    await system.upstream.ask(left, unwanted)
    for request in (left, unwanted):
        await _at_newer_step(system, request)

    await system.children.running["newer"].end(signal.SIGTERM, GRACE)
    await system.restart("orchestrator")
    await system.restart("verify_emails")

    await system.until_metric("orchestrator", "leadsaga_replies_foreign_total", 2)
    await system.upstream.ask(plain)
    await _completed(system, [plain])
    await system.upstream.ask(left, cancel_of(left))
    assert "accepted" == (await system.upstream.outcome(left, "accepted", times=2)).event
    assert BEING_UPGRADED == (await system.upstream.outcome(left, "refused")).reason
    await _order_cancel(system, unwanted)
    for request in (left, unwanted):
        assert ("running", "verify_emails") == await _standing(system, request)

    await system.restart("newer")

    await _completed(system, [left])
    assert "failed" == (await system.upstream.outcome(unwanted, "failed")).event
    await _billed(system, tenant, 6)


async def _completed(system: RunningSystem, requests: Sequence[LeadRequested]) -> None:
    for request in requests:
        completed = await system.upstream.outcome(request, "completed", "failed", "parked")
        assert ("completed", request.leads) == (completed.event, completed.delivered)


async def _billed(system: RunningSystem, tenant: Tenant, leads: int) -> None:
    """And nothing of the tenant's was given up, or is left over."""
    await system.until_settled(tenant)
    assert (leads, leads) == (await system.ledger(tenant), await system.told_stripe(tenant))
    assert 0 == await system.held(tenant)
    lost = "SELECT count(*) FROM dead_letters WHERE tenant_id = $1"
    assert 0 == await system.sql.fetchval(lost, tenant.tenant_id)


async def _at_newer_step(system: RunningSystem, request: LeadRequested) -> None:
    await system.until_sql(
        "SELECT EXISTS (SELECT FROM sagas WHERE request_id = $1 AND version = $2 AND state ->> 'step' = $3)",
        *(request.request_id, LEAD_2.version, "verify_emails"),
    )


async def _standing(system: RunningSystem, request: LeadRequested) -> tuple[Any, ...]:
    query = "SELECT status, state ->> 'step' FROM sagas WHERE request_id = $1"
    return tuple(await system.sql.fetchrow(query, request.request_id))


async def _order_cancel(system: RunningSystem, request: LeadRequested) -> None:
    await system.sql.execute(
        "INSERT INTO orders (order_id, tenant_id, saga_id, kind, actor, reason)"
        " SELECT gen_random_uuid(), tenant_id, saga_id, 'cancel', 'ann', 'not needed' FROM sagas"
        " WHERE request_id = $1",
        request.request_id,
    )
