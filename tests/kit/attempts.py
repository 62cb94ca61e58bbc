"""Attempts of a probe that calls an outside world, run as the runtime runs them."""

import asyncio
from typing import Any

from contracts.messages import Command
from steps.runtime.batch import Answers
from steps.runtime.single import run_single
from tests.kit.commands import SingleProbe
from tests.kit.tenants_at_work import TenantsAtWork

DEADLINE = 10
"""Seconds that a test waits for a signal."""


async def take(
    world: TenantsAtWork, probe: SingleProbe, each: Command, *, redelivered: bool = False
) -> Answers:
    return await run_single(world.memory, probe.do(), None, each, redelivered=redelivered)


async def begun(
    world: TenantsAtWork, probe: SingleProbe, each: Command, *, redelivered: bool = False
) -> "asyncio.Task[Answers]":
    """An attempt that is in its outside call, until the probe's gate opens."""
    probe.gate = asyncio.Event()
    running = asyncio.create_task(take(world, probe, each, redelivered=redelivered))
    await asyncio.wait_for(probe.called.wait(), DEADLINE)
    return running


async def drafts(world: TenantsAtWork) -> int:
    return int(await world.admin.fetchval("SELECT count(*) FROM leads"))


async def row(world: TenantsAtWork, *columns: str) -> tuple[Any, ...]:
    query = f"SELECT {', '.join(columns)} FROM effects WHERE direction = 'do'"
    return tuple(await world.admin.fetchrow(query))
