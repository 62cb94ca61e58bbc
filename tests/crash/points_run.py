"""Letting a process die at one crash point after the other, and seeing that everything ends right."""

import asyncio
import signal
from collections.abc import Sequence

from tests.crash.points_scenes import Scene
from tests.crash.points_stages import AT_ONCE, Stage
from tests.kit.system import RunningSystem

ACT_SECONDS = 5.0
"""For what a scene does once its process has died, if it does not need it any more."""
AGAIN = 2
"""Times that the process is to die at the same point of the same scene, because others came by it first."""
DEATH_SECONDS = 40.0
"""Until a point counts as one that is never passed."""

_TIME_PASSES = """
UPDATE work_due SET due_at = now();
UPDATE intents SET retry_at = now() WHERE state IN ('sending', 'ambiguous');
UPDATE credits SET retry_at = now() WHERE state = 'sending';
UPDATE notices SET retry_at = now() WHERE state = 'sending';
UPDATE events_out SET created_at = created_at - interval '1 minute';
"""


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
        _die_at(system, process, scene, point)
        acting = acting or asyncio.create_task(scene.act())
        await died(system, process, point)
    assert acting is not None
    for _ in range(AGAIN):
        if await _acted(acting):
            break
        # It died of what an earlier scene had left behind, and this one still needs it.
        _die_at(system, process, scene, scene.point)
        await died(system, process, scene.point)
    else:
        await system.restart(process)
        await acting
        await system.kill(process)
    await acting


def _die_at(system: RunningSystem, process: str, scene: Scene, point: str) -> None:
    armed = {**scene.settings, "LEADSAGA_CRASH_AT": armed_at(system, point), "LEADSAGA_HTTP_PORT": "0"}
    system.children.restart(process, armed)


async def _acted(acting: asyncio.Task[None]) -> bool:
    done, _ = await asyncio.wait({acting}, timeout=ACT_SECONDS)
    return bool(done)


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
