"""The lines between our processes and their servers break, in all the ways that lines do."""

import pytest

from tests.kit.breakable import Breakable
from tests.kit.proxy import Proxy
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]

LATENCY = 0.5
"""Seconds, each way."""


@pytest.fixture(params=["broker", "database"])
def line(request: pytest.FixtureRequest, breakable: Breakable) -> Proxy:
    found: Proxy = getattr(breakable, request.param)
    return found


async def test_connections_that_are_cut_come_back(breakable: Breakable, tenant: Tenant, line: Proxy) -> None:
    requests = await breakable.load(tenant)
    old = set(line.joints)

    line.cut()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)
    assert old.isdisjoint(line.joints)


async def test_nobody_is_ready_while_connections_are_refused(
    breakable: Breakable, tenant: Tenant, line: Proxy
) -> None:
    requests = await breakable.load(tenant)

    line.refuse()
    await breakable.until_none_is_ready()
    await line.heal()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


async def test_a_black_hole_is_noticed_by_its_silence(
    breakable: Breakable, tenant: Tenant, line: Proxy
) -> None:
    requests = await breakable.load(tenant)

    line.swallow()
    await breakable.until_none_is_ready()
    await line.heal()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


async def test_connections_that_only_one_side_believes_in_are_given_up(
    breakable: Breakable, tenant: Tenant, line: Proxy
) -> None:
    requests = await breakable.load(tenant)
    old = set(line.joints)

    line.tear()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)
    # Nothing comes through the old ones any more, though some may lie unused.
    assert all(joint.silent for joint in old)
    assert line.joints - old


async def test_a_slow_broker_slows_everything_and_breaks_nothing(
    breakable: Breakable, tenant: Tenant
) -> None:
    requests = await breakable.load(tenant)

    breakable.broker.delay = LATENCY
    await breakable.completed([*requests, await breakable.ask(tenant)])
    assert all([await breakable.ready(name) for name in breakable.system.processes])
    await breakable.broker.heal()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


async def test_a_slow_database_slows_everything_and_breaks_nothing(
    breakable: Breakable, tenant: Tenant
) -> None:
    requests = await breakable.load(tenant)

    breakable.database.delay = LATENCY
    late = await breakable.ask(tenant)
    there = "SELECT EXISTS (SELECT FROM requests WHERE tenant_id = $1 AND request_id = $2)"
    # With every connection busy for seconds a process may truly say that it is not ready.
    await breakable.system.until_sql(there, tenant.tenant_id, late.request_id)
    await breakable.database.heal()

    await breakable.works_again(tenant)
    await breakable.all_is_well([*requests, late])
