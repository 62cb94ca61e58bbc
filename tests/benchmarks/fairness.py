"""Is one noisy tenant in the way of 20 quiet ones? It makes 10,000 requests while they go on as before.

`make bench-fairness` runs it on services of its own, takes about seven minutes, and writes
results/fairness.json and fairness.md. Ends with status 1 when the quiet tenants' p95 beside the 10,000 is
more than twice what it is alone. While these arrive the line is in order of arrival: that is told, and not
judged. With `--small` it takes three minutes.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import quantiles
from time import monotonic
from typing import Any

from contracts.events import Event
from contracts.requests import LeadRequested
from tests.benchmarks.place import bench
from tests.benchmarks.report import surroundings
from tests.kit.sandbox import until
from tests.kit.system import RunningSystem, Tenant

RESULTS = Path(__file__).parent / "results"
QUIET = 20
NOISY = 10_000
LEADS = 3
MODEL_SECONDS = 1.0
MOST = 2.0
"""How many times as long the quiet tenants may wait beside the noisy one."""

AT_A_TIME = 100
PATIENCE = 180.0
SETTINGS = {"LEADSAGA_MODEL_CALL_TIMEOUT": "30"}
MOMENTS = ("leads_ready", "completed")
PHASES = {
    "alone": "alone",
    "arriving": "while the 10,000 arrive",
    "beside": "while they wait and are worked on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`requests` of all quiet tenants, each a little after the one before."""

    requests: int
    every: float
    noisy: int


FULL = Size(requests=200, every=0.5, noisy=NOISY)
SMALL = Size(requests=40, every=0.5, noisy=NOISY)


@dataclass(slots=True)
class Clock(list[Any]):
    """In place of what upstream keeps of the events it hears: when each first came."""

    asked: dict[str, float] = field(default_factory=dict)
    first: dict[tuple[str, str], float] = field(default_factory=dict)

    def append(self, event: Event) -> None:
        if event.request_id in self.asked:
            self.first.setdefault((event.request_id, event.event), monotonic())

    def seconds(self, phase: str, moment: str) -> list[float]:
        return [
            at - self.asked[request]
            for (request, event), at in self.first.items()
            if event == moment and request.startswith(phase)
        ]


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from asking until an event is heard."""

    requests: int
    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Wait":
        cuts = quantiles(seconds, n=20, method="inclusive")
        return cls(len(seconds), round(cuts[9], 3), round(cuts[18], 3))


async def measure(size: Size, say: Callable[[str], None]) -> int:
    async with bench(SETTINGS, apart=True) as (system, sources):
        await system.sandbox.settings(anthropic_latency_seconds=MODEL_SECONDS)
        clock = Clock()
        system.upstream.heard = clock
        quiet = [await system.tenant(quota=1_000_000) for _ in range(QUIET)]
        noisy = await system.tenant(quota=1_000_000)
        await _quietly(system, clock, "warm", quiet, QUIET, size.every)
        await _quietly(system, clock, "alone", quiet, size.requests, size.every)
        flood = asyncio.create_task(_flood(system, noisy, size.noisy))
        await _quietly(system, clock, "arriving", quiet, size.requests, size.every)
        flooded = await flood
        accepted = await _accepted(system, noisy, size.noisy)
        await _quietly(system, clock, "beside", quiet, size.requests, size.every)
        standing = await _standing(system, noisy)
        about = surroundings(sources) | {
            "quiet tenants": f"{QUIET}, a request every {size.every:g} s, {size.requests} each time",
            "noisy tenant": f"{size.noisy} requests, published in {flooded:.1f} s, {accepted}",
            "the noisy tenant's requests at the end": standing,
            "model": f"{MODEL_SECONDS:g} s a call",
        }
    waits = {moment: {phase: Wait.of(clock.seconds(phase, moment)) for phase in PHASES} for moment in MOMENTS}
    say(text := _table(waits, about))
    _keep(text, waits, about)
    return int(not _fair(waits))


async def _quietly(
    system: RunningSystem, clock: Clock, phase: str, tenants: Sequence[Tenant], count: int, every: float
) -> None:
    """Returns when all of it was heard to be completed."""
    names = [f"{phase}-{number}" for number in range(count)]
    begin = monotonic()
    for number, name in enumerate(names):
        await asyncio.sleep(max(0.0, begin + number * every - monotonic()))
        clock.asked[name] = monotonic()
        await system.upstream.ask(_request(tenants[number % len(tenants)], name))

    async def heard() -> bool:
        return all((name, "completed") in clock.first for name in names)

    await until(heard, PATIENCE)


async def _flood(system: RunningSystem, noisy: Tenant, count: int) -> float:
    """Says how many seconds it took until the broker had all."""
    begin = monotonic()
    requests = (_request(noisy, f"noise-{number}") for number in range(count))
    while batch := list(islice(requests, AT_A_TIME)):
        await asyncio.gather(*map(system.upstream.ask, batch))
    return monotonic() - begin


def _request(tenant: Tenant, name: str) -> LeadRequested:
    return LeadRequested(
        tenant_id=tenant.tenant_id,
        request_id=name,
        criteria=f"bicycle makers in Utrecht, {name}",
        leads=LEADS,
    )


async def _standing(system: RunningSystem, tenant: Tenant) -> dict[str, int]:
    rows = await system.sql.fetch(
        "SELECT status, count(*) FROM sagas WHERE tenant_id = $1 GROUP BY status ORDER BY status",
        tenant.tenant_id,
    )
    return {row["status"]: row["count"] for row in rows}


async def _accepted(system: RunningSystem, tenant: Tenant, count: int) -> str:
    begin = monotonic()
    await system.until_sql("SELECT count(*) = $2 FROM requests WHERE tenant_id = $1", tenant.tenant_id, count)
    return f"all accepted {monotonic() - begin:.1f} s after the quiet ones of that time were served"


Waits = dict[str, dict[str, Wait]]


def _fair(waits: Waits) -> bool:
    return all(of["beside"].p95 <= MOST * of["alone"].p95 for of in waits.values())


def _table(waits: Waits, about: dict[str, Any]) -> str:
    verdict = "Fair" if _fair(waits) else "NOT fair"
    lines = [
        "# One noisy tenant beside 20 quiet ones",
        "",
        f"{verdict}: beside the 10,000 the quiet tenants' p95 may be {MOST:g} times what it is alone.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        "Seconds from publishing a request of a quiet tenant until its event is heard:",
        "",
        "| event | when | requests | p50 | p95 | times alone |",
        "|---|---|--:|--:|--:|--:|",
        *(
            f"| {moment} | {words} | {of[phase].requests} | {of[phase].p50:.2f} | {of[phase].p95:.2f}"
            f" | {of[phase].p95 / of['alone'].p95:.2f} |"
            for moment, of in waits.items()
            for phase, words in PHASES.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _keep(text: str, waits: Waits, about: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "fairness.md").write_text(text, encoding="utf-8")
    told = {moment: {phase: asdict(wait) for phase, wait in of.items()} for moment, of in waits.items()}
    (RESULTS / "fairness.json").write_text(
        json.dumps({"about": about, "waits": told}) + "\n", encoding="utf-8"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(SMALL if "--small" in sys.argv else FULL, _say)))
