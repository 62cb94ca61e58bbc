"""The lead saga against the sandbox: what it adds to the model's time, and what more processes are worth."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tests.benchmarks.engine import saturated
from tests.benchmarks.load import Load, latencies, loading
from tests.benchmarks.parts import Case, Measure, Metrics, Size, tenants_of
from tests.benchmarks.stage import Program, Running, Stage
from tests.benchmarks.vendors import (
    ORCHESTRATOR,
    QUEUES,
    Sandbox,
    all_but,
    introduce,
    sandboxed,
    step_program,
)

TENANTS = 50
STEP = "generate_leads"
SIDE_BY_SIDE = 200
"""Attempts, and calls to the model, in one process."""
STRIPE_SECONDS = 0.2
SETTINGS = {
    "LEADSAGA_SIDE_BY_SIDE": str(SIDE_BY_SIDE),
    "LEADSAGA_MODEL_CALLS": str(SIDE_BY_SIDE),
    "LEADSAGA_MODEL_CALL_TIMEOUT": "30",
    "LEADSAGA_FLUSH_INTERVAL": "5",
}
FIELDS = b'"criteria":"bicycle makers in Utrecht","leads":10'


@asynccontextmanager
async def lead(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    yield partial(_lead, stage, size)


async def _lead(stage: Stage, size: Size) -> list[Case]:
    cases = []
    for processes in size.lead_processes:
        async with sandboxed(stage) as sandbox, _system(stage, sandbox, processes) as (running, load):
            if processes == 1:
                cases += await _without_delays(stage, size, sandbox, running, load)
            await sandbox.admin.settings(
                anthropic_latency_seconds=size.model_seconds, stripe_latency_seconds=STRIPE_SECONDS
            )
            name = f"{size.lead_in_flight} at once, model {size.model_seconds:g} s, {processes} of {STEP}"
            cases.append(Case(name, await _all_at_once(load, size.lead_in_flight)))
    return cases


@asynccontextmanager
async def _system(stage: Stage, sandbox: Sandbox, processes: int) -> AsyncIterator[tuple[Running, Load]]:
    """The load ends when the leads are ready: what follows keeps nobody waiting."""
    tenants = tenants_of(TENANTS)
    programs: dict[str, Program] = {"orchestrator": ORCHESTRATOR, "others": all_but(STEP)}
    programs |= {f"{STEP}-{number}": step_program(STEP) for number in range(processes)}
    async with stage.database(tenants) as url:
        await introduce(sandbox, url, tenants)
        async with (
            stage.running(url, programs, SETTINGS, sandbox_url=sandbox.url, queues=QUEUES) as running,
            loading(
                stage.amqp_url, running.prefix, tenants, secrets.token_hex(4), "leads_ready", FIELDS
            ) as load,
        ):
            yield running, load


async def _without_delays(
    stage: Stage, size: Size, sandbox: Sandbox, running: Running, load: Load
) -> list[Case]:
    meter = stage.meter(lambda: running.pids, sandbox=lambda: [sandbox.pid])
    cases = []
    for name, in_flight in (("one after another", 1), ("saturated", max(size.lead_in_flight // 10, 10))):
        metrics = await saturated(load, meter, in_flight, size.warm, size.window)
        cases.append(Case(f"no vendor delay, {name}", metrics))
    return cases


async def _all_at_once(load: Load, requests: int) -> Metrics:
    load.seconds.clear()
    began = time.perf_counter()
    load.ask(requests)
    await asyncio.sleep(0)
    await load.ended()
    seconds = time.perf_counter() - began
    return {"sagas/s": requests / seconds, "in flight": requests, **latencies(load.seconds)}
