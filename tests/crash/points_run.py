"""Letting a process die at one crash point after the other, and seeing that everything ends right."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.sagas import sagas
from tests.chaos.upstream import heard_event
from tests.crash.points_scenes import Scene
from tests.crash.points_stages import AT_ONCE, Stage
from tests.kit.history.check import check
from tests.kit.history.postgres import read_tables
from tests.kit.history.records import History
from tests.kit.history.vendors import notices_said, read_vendors
from tests.kit.system import TIME_SCALE, RunningSystem

DEATH_SECONDS = 40.0
"""Until a point counts as one that is never passed."""

_TIME_PASSES = """
UPDATE work_due SET due_at = now();
UPDATE intents SET retry_at = now() WHERE state = 'sending';
UPDATE notices SET retry_at = now() WHERE state = 'sending';
UPDATE events_out SET created_at = created_at - interval '1 minute';
"""

_QUIET = """
SELECT NOT EXISTS (SELECT FROM sagas WHERE status IN ('waiting', 'running', 'unwinding'))
    AND NOT EXISTS (SELECT FROM events_out)
    AND NOT EXISTS (SELECT FROM notices WHERE state IN ('waiting', 'sending'))
    AND NOT EXISTS (SELECT FROM intents WHERE state IN ('pending', 'sending', 'ambiguous'))
    AND NOT EXISTS (SELECT FROM effects e JOIN sagas s USING (tenant_id, saga_id)
                    WHERE e.owed AND s.status <> 'parked')
"""


@dataclass(frozen=True, slots=True)
class Mortal:
    """A system whose processes die. `database_url` is a superuser's, `sandbox` the sandbox's directory."""

    system: RunningSystem
    database_url: str
    sandbox: Path


async def run(system: RunningSystem, stage: Stage) -> None:
    """Raises AssertionError for a point that the process does not die at, and for what does not end right."""
    kills = list(stage.kills)
    while kills:
        size = min(AT_ONCE[stage.process], kills[0][1].at_once)
        scenes = [scene(system, point) for point, scene in kills[:size]]
        try:
            await _die_at_each(system, stage.process, scenes)
        except BaseException:
            await _again_unarmed(system, stage.process)
            raise
        del kills[:size]


async def _die_at_each(system: RunningSystem, process: str, scenes: Sequence[Scene]) -> None:
    """At one point after the other, at each with work of its own, while what the last death left behind is
    still to be mended."""
    await asyncio.gather(*(scene.prepare() for scene in scenes))
    await system.kill(process)
    for scene in scenes:
        await _die(system, process, scene)
    for scene in scenes:
        await scene.mend()
    await time_passes(system)
    await system.restart(process)
    await asyncio.gather(*map(_ended, scenes))


async def _ended(scene: Scene) -> None:
    try:
        await scene.ends()
    except TimeoutError as error:
        raise AssertionError(f"what was under way at {scene.point} never ended") from error


async def _again_unarmed(system: RunningSystem, process: str) -> None:
    """So that a failure is that of one test."""
    await system.kill(process)
    await system.restart(process)


async def _die(system: RunningSystem, process: str, scene: Scene) -> None:
    acting: asyncio.Task[None] | None = None
    for point in (*scene.first, scene.point):
        armed = {**scene.settings, "LEADSAGA_CRASH_AT": armed_at(system, point), "LEADSAGA_HTTP_PORT": "0"}
        system.children.restart(process, armed)
        acting = acting or asyncio.create_task(scene.act())
        await died(system, process, point)
    assert acting is not None
    await acting


def armed_at(system: RunningSystem, point: str) -> str:
    """Queues are called by their full name."""
    return f"ack.{system.names.prefix}{point.removeprefix('ack.')}" if point.startswith("ack.") else point


async def died(system: RunningSystem, process: str, point: str) -> None:
    try:
        status = await system.children.running[process].result(DEATH_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{process} never came by {point}") from None
    assert -signal.SIGKILL == status, f"{process} was to die at {point}, and ended with {status}"


async def time_passes(system: RunningSystem) -> None:
    """What the dead process had taken for itself is free again, as after its leases."""
    await system.sql.execute(_TIME_PASSES)


async def verdict(mortal: Mortal) -> list[str]:
    """Once nothing is under way any more: every promise that was not kept."""
    system = mortal.system
    await system.until_sql(_QUIET)
    tables, vendors = await read_tables(mortal.database_url), read_vendors(mortal.sandbox)
    webhooks = dict(await system.sql.fetch("SELECT tenant_id, url FROM discord_webhooks"))
    history = History(
        definitions=sagas(TIME_SCALE),
        sagas=tables.sagas,
        effects=tables.effects,
        leads=tables.leads,
        ledger=tables.ledger,
        carriers=tables.carriers,
        intents=tables.intents,
        holds=tables.holds,
        quotas=tables.quotas,
        waiting=tables.waiting,
        dead_letters=tables.dead_letters,
        model_calls=tables.model_calls,
        calls_at_vendor=vendors.model_calls,
        meters=vendors.meters,
        meter_events=vendors.meter_events,
        notices=notices_said(
            tables.notices, vendors, {tenant: url.split("/")[-2] for tenant, url in webhooks.items()}
        ),
        heard=[heard_event(event.model_dump_json().encode()) for event in system.upstream.heard],
    )
    return [str(violation) for violation in check(history)]
