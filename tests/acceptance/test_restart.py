"""Any process is killed amid running sagas and started again: all sagas end, and billed = delivered."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.requests import LeadRequested
from steps import catalogue
from tests.kit.asking import lead_request
from tests.kit.mortal import own_system
from tests.kit.system import RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="module")]

REQUESTS = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningSystem]:
    directory = tmp_path_factory.mktemp("apart")
    async with own_system(admin_url, template, amqp_url, directory, apart=True) as mortal:
        yield mortal.system


@pytest.mark.parametrize("process", ["orchestrator", *catalogue.names()])
async def test_every_saga_ends_and_is_billed_once_though_a_process_is_killed(
    system: RunningSystem, process: str
) -> None:
    tenant = await system.tenant()
    requests = [lead_request(tenant, leads=1 + number) for number in range(REQUESTS)]

    await system.upstream.ask(*requests[: REQUESTS // 2])
    await _under_way(system, tenant)
    await system.kill(process)
    await system.upstream.ask(*requests[REQUESTS // 2 :])
    await system.restart(process)

    await _all_completed(system, tenant, requests)


async def test_every_saga_ends_though_everything_is_killed_at_once(system: RunningSystem) -> None:
    tenant = await system.tenant()
    requests = [lead_request(tenant, leads=1 + number) for number in range(REQUESTS)]

    await system.upstream.ask(*requests)
    await _under_way(system, tenant)
    await asyncio.gather(*map(system.kill, system.processes))
    await asyncio.gather(*map(system.restart, system.processes))

    await _all_completed(system, tenant, requests)


async def _under_way(system: RunningSystem, tenant: Tenant) -> None:
    """Some saga of the tenant has made its first steps."""
    await system.until_sql("SELECT count(*) > 1 FROM effects WHERE tenant_id = $1", tenant.tenant_id)


async def _all_completed(system: RunningSystem, tenant: Tenant, requests: list[LeadRequested]) -> None:
    outcomes = [await system.upstream.outcome(request) for request in requests]
    assert {"completed"} == {outcome.event for outcome in outcomes}
    wanted = sum(request.leads for request in requests)
    heard = [
        lead.lead_id
        for request in requests
        for part in system.upstream.leads_of(tenant.tenant_id, request.request_id)
        for lead in part.leads
    ]
    assert wanted == len(heard) == len(set(heard))
    await system.until_settled(tenant)
    assert (wanted, wanted) == (await system.ledger(tenant), await system.told_stripe(tenant))
    assert 0 == await system.held(tenant)
