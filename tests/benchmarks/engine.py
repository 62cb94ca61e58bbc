"""How many sagas the engine ends in a second, what they cost, and how long one takes at a steady rate."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tests.benchmarks.cpu import Meter, per_saga
from tests.benchmarks.load import Load, latencies, loading
from tests.benchmarks.noop import STEPS
from tests.benchmarks.parts import Case, Measure, Metrics, Size, tenants_of
from tests.benchmarks.stage import Programs, Running, Stage, noop_programs

LAYOUTS: dict[str, Programs] = {
    "a process a step": noop_programs(),
    "one process for all steps": noop_programs([STEPS]),
}
TYPICAL = 100
"""Tenants that the goals speak of."""


async def saturated(load: Load, meter: Meter, in_flight: int, warm: float, window: float) -> Metrics:
    """Closed loop: what ended within the window, and what it cost. Sagas end in bursts: both the warm-up and
    the window last until as many have ended as are in flight, at least."""
    await load.keep(in_flight)
    await load.passed(warm, in_flight)
    ended, before, began = len(load.seconds), meter.read(), time.perf_counter()
    await load.passed(window, in_flight)
    sagas, after = len(load.seconds) - ended, meter.read()
    rate = sagas / (time.perf_counter() - began)
    seconds = load.seconds[ended : ended + sagas]
    await load.keep(0)
    await load.ended()
    return {"sagas/s": rate, "in flight": in_flight, **per_saga(before, after, sagas), **latencies(seconds)}


@asynccontextmanager
async def loaded(stage: Stage, running: Running, tenants: list[str]) -> AsyncIterator[tuple[Load, Meter]]:
    run = secrets.token_hex(4)
    async with loading(stage.amqp_url, running.prefix, tenants, run) as load:
        yield load, stage.meter(lambda: running.pids)


async def best(stage: Stage, size: Size) -> tuple[str, int]:
    """The layout of processes and the number in flight that end most sagas in a second."""
    if len(size.levels) == 1:
        return "one process for all steps", size.levels[0]
    found: dict[tuple[str, int], float] = {}
    tenants = tenants_of(TYPICAL)
    for layout, programs in LAYOUTS.items():
        async with (
            stage.database(tenants) as url,
            stage.running(url, programs) as running,
            loaded(stage, running, tenants) as (load, meter),
        ):
            for level in size.levels:
                metrics = await saturated(load, meter, level, size.warm / 2, size.window / 3)
                found[layout, level] = metrics["sagas/s"]
                stage.say(f"engine: {layout}, {level} in flight: {metrics['sagas/s']:.0f} sagas/s")
    return max(found, key=lambda each: found[each])


@asynccontextmanager
async def engine(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    layout, in_flight = await best(stage, size)

    async def one(count: int) -> Case:
        tenants = tenants_of(count)
        async with (
            stage.database(tenants) as url,
            stage.running(url, LAYOUTS[layout]) as running,
            loaded(stage, running, tenants) as (load, meter),
        ):
            metrics = await saturated(load, meter, in_flight, size.warm, size.window)
            memory = running.memory() | stage.broker_memory()
        return Case(f"{count} tenants, {layout}", metrics | memory)

    async def measure() -> list[Case]:
        return [await one(count) for count in size.tenants]

    yield measure


@asynccontextmanager
async def latency(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    yield partial(_latency, stage, size)


async def _latency(stage: Stage, size: Size) -> list[Case]:
    tenants = tenants_of(TYPICAL)
    cases = []
    async with (
        stage.database(tenants) as url,
        stage.running(url, LAYOUTS["a process a step"]) as running,
        loaded(stage, running, tenants) as (load, meter),
    ):
        for rate in size.rates:
            await load.at_rate(rate, size.warm)
            await load.ended()
            load.seconds.clear()
            before = meter.read()
            await load.at_rate(rate, size.open_loop)
            await load.ended()
            ended = len(load.seconds)
            metrics = latencies(load.seconds) | per_saga(before, meter.read(), ended)
            cases.append(Case(f"{rate} sagas/s", {**metrics, "sagas": ended}))
    return cases
