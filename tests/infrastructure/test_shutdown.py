"""A process that is told to stop ends in time, whatever is away; what it held is done by its successor."""

import asyncio
import os
import signal
import time
from typing import Literal

import pytest

from tests.infrastructure.conftest import DRAIN_SECONDS
from tests.kit.asking import lead_request
from tests.kit.breakable import Breakable
from tests.kit.outsider import PATIENCE
from tests.kit.proxy import Proxy
from tests.kit.sandbox import until
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]

SLOW = 1.5
"""Seconds of a model call: within the grace."""
AT_ONCE = 3.0
"""Seconds, on a busy machine: far less than the grace."""


async def stop(breakable: Breakable, process: str) -> float:
    """Seconds that it took to end in order."""
    began = time.monotonic()
    child = breakable.system.children.running[process]
    os.kill(await child.born, signal.SIGTERM)
    assert 0 == await child.result(PATIENCE)
    return time.monotonic() - began


async def start(breakable: Breakable) -> None:
    for process in breakable.system.processes:
        breakable.system.children.restart(process)


@pytest.mark.parametrize("how", ["refuse", "swallow"])
@pytest.mark.parametrize("away", ["broker", "database"])
async def test_a_process_ends_within_its_grace_though_what_it_waits_for_is_away(
    breakable: Breakable,
    tenant: Tenant,
    away: Literal["broker", "database"],
    how: Literal["refuse", "swallow"],
) -> None:
    line: Proxy = getattr(breakable, away)
    requests = await breakable.load(tenant)

    getattr(line, how)()
    took = await asyncio.gather(*(stop(breakable, process) for process in breakable.system.processes))
    assert max(took) <= DRAIN_SECONDS + 2  # the kernel's and the test's own part
    await line.heal()
    await start(breakable)

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


@pytest.mark.parametrize("route", ["anthropic.messages", "stripe.meter_events"])
async def test_a_call_that_is_short_is_finished_before_a_process_ends(
    breakable: Breakable, tenant: Tenant, route: str
) -> None:
    sandbox, request = breakable.system.sandbox, lead_request(tenant)
    before = len(await sandbox.calls(route))
    await sandbox.fault(route, delay_seconds=SLOW, times=1)

    async def called() -> bool:
        return len(await sandbox.calls(route)) > before

    await breakable.system.upstream.ask(request)
    await until(called, PATIENCE)
    await stop(breakable, "steps")
    breakable.system.children.restart("steps")

    await breakable.all_is_well([request])
    assert before + 1 == len(await sandbox.calls(route))


@pytest.mark.parametrize("away", ["broker", "database"])
async def test_a_process_that_is_still_waiting_for_its_services_ends_at_once(
    breakable: Breakable, away: Literal["broker", "database"]
) -> None:
    line: Proxy = getattr(breakable, away)
    processes = breakable.system.processes

    async def all_are_waiting() -> bool:
        return len(line.joints) >= len(processes)

    await asyncio.gather(*(stop(breakable, process) for process in processes))
    line.swallow()
    await start(breakable)
    await until(all_are_waiting, PATIENCE)
    took = await asyncio.gather(*(stop(breakable, process) for process in processes))
    assert max(took) <= AT_ONCE
    await line.heal()
    await start(breakable)
    await asyncio.gather(*(breakable.until_ready(name) for name in processes))
