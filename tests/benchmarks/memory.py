"""Does memory stay flat? 100,000 requests that wait, an hour without Stripe and Discord, a flood of nonsense.

`make bench-memory` runs it on services of its own, takes about ten minutes, and writes results/memory.json
and memory.md. Ends with status 1 when a process grew. With `--small` it only shows that it works.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.requests import LeadRequested
from tests.benchmarks.flood import nonsense
from tests.benchmarks.place import bench
from tests.benchmarks.report import surroundings, table
from tests.benchmarks.rss import Watch, flat, plain, watching
from tests.kit.sandbox import until
from tests.kit.system import RunningSystem, Tenant

RESULTS = Path(__file__).parent / "results"
TENANTS = 50
IN_FLIGHT = 200
MODEL_SECONDS = 1.0
"""That an answer of the model takes: leads are made slowly, and the line of those who wait stays long."""
PATIENCE = 1200.0
AT_A_TIME = 500
"""Requests that are published before their confirms are awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`hour`: seconds that an hour without vendors takes, its waits scaled with it; `settle`: seconds for
    which the end of each phase is watched."""

    warm_up: int
    requests: int
    nonsense: int
    hour: float
    settle: float

    @property
    def settings(self) -> dict[str, str]:
        return {
            "LEADSAGA_MAX_IN_FLIGHT": str(IN_FLIGHT),
            "LEADSAGA_TIME_SCALE": f"{self.hour / 3600:g}",
            "LEADSAGA_MODEL_CALL_TIMEOUT": "30",
        }


FULL = Size(warm_up=3_000, requests=100_000, nonsense=10_000, hour=120.0, settle=30.0)
SMALL = Size(warm_up=200, requests=1_000, nonsense=400, hour=10.0, settle=3.0)


class _Deaf(list[Any]):
    """Events that upstream services hear are not of interest here, and would fill this process."""

    def append(self, _: object) -> None:
        pass


async def measure(size: Size, say: Callable[[str], None]) -> int:
    async with _system(size) as (system, sources):
        tenants = [await system.tenant(quota=10_000_000) for _ in range(TENANTS)]
        pids = {name: child.pid for name, child in system.children.running.items()}
        async with watching(pids) as watch:
            work = {
                "warm-up": _warm_up(system, tenants, size),
                "requests waiting": _wait_in_line(system, tenants, size),
                "hour without vendors": _without_vendors(system, size),
                "nonsense flood": _flood(system, size),
            }
            done: dict[str, Any] = {}
            for phase, doing in work.items():
                watch.begin(phase)
                done[phase] = await doing
                await asyncio.sleep(size.settle)
                say(f"{phase}: {done[phase]}")
            ended = [name for name, child in system.children.running.items() if child.ended]
        about = surroundings(sources) | {"settings": size.settings, "tenants": TENANTS}
        say(text := table(watch.verdicts("warm-up"), done, about))
        if size is FULL:
            _keep(watch, text, {"about": about, "done": done, "ended": ended})
        return int(bool(ended) or not flat(watch.verdicts("warm-up")))


def _keep(watch: Watch, text: str, told: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.md").write_text(text, encoding="utf-8")
    result = told | {"verdicts": plain(watch.verdicts("warm-up")), "samples": watch.as_json()}
    (RESULTS / "memory.json").write_text(json.dumps(result) + "\n", encoding="utf-8")


@asynccontextmanager
async def _system(size: Size) -> AsyncIterator[tuple[RunningSystem, tuple[str, ...]]]:
    async with bench(size.settings, apart=True) as (system, sources):
        system.upstream.heard = _Deaf()
        await system.sandbox.settings(anthropic_latency_seconds=MODEL_SECONDS)
        yield system, sources


async def _ask(system: RunningSystem, tenants: list[Tenant], name: str, count: int) -> None:
    """Round the tenants."""
    requests = (
        LeadRequested(
            tenant_id=tenants[number % len(tenants)].tenant_id,
            request_id=f"{name}-{number}",
            criteria=f"bicycle makers in Utrecht, {name} {number}",
            leads=1 + number % 3,
        )
        for number in range(count)
    )
    while batch := list(islice(requests, AT_A_TIME)):
        await asyncio.gather(*map(system.upstream.ask, batch))


async def _accepted(system: RunningSystem, least: int) -> None:
    async def reached() -> bool:
        return int(await system.sql.fetchval("SELECT count(*) FROM requests")) >= least

    await until(reached, PATIENCE)


async def _warm_up(system: RunningSystem, tenants: list[Tenant], size: Size) -> dict[str, Any]:
    await _ask(system, tenants, "warm", size.warm_up)
    await nonsense(system, size.warm_up // 30)
    await _accepted(system, size.warm_up)
    await system.until_sql("SELECT count(*) > 0 FROM sagas WHERE status = 'completed'")
    return await _standing(system)


async def _wait_in_line(system: RunningSystem, tenants: list[Tenant], size: Size) -> dict[str, Any]:
    await _ask(system, tenants, "wait", size.requests)
    await _accepted(system, size.warm_up + size.requests)
    return await _standing(system)


async def _without_vendors(system: RunningSystem, size: Size) -> dict[str, Any]:
    """Leads are delivered all the while, and wait to be billed and told."""
    for vendor in ("stripe", "discord"):
        await system.sandbox.fault(f"{vendor}.*", status=503, retry_after=1)
    await asyncio.sleep(size.hour)
    standing = await _standing(system)
    await system.sandbox.clear_faults()
    return standing


async def _flood(system: RunningSystem, size: Size) -> dict[str, Any]:
    count = "SELECT count(*) FROM dead_letters"
    wanted = int(await system.sql.fetchval(count)) + await nonsense(system, size.nonsense)

    async def buried() -> bool:
        return int(await system.sql.fetchval(count)) >= wanted

    await until(buried, PATIENCE)
    return await _standing(system)


async def _standing(system: RunningSystem) -> dict[str, Any]:
    """Sagas by where they stand, leads that Stripe was not told of, dead letters."""
    rows = await system.sql.fetch("SELECT status, count(*) FROM sagas GROUP BY status ORDER BY status")
    return {row["status"]: row["count"] for row in rows} | {
        "unreported": await system.sql.fetchval("SELECT count(*) FROM effects WHERE owed"),
        "dead letters": await system.sql.fetchval("SELECT count(*) FROM dead_letters"),
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(SMALL if "--small" in sys.argv else FULL, _say)))
