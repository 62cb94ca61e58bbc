"""A process dies by SIGKILL at each of its crash points and is started again: everything ends right, as if it
had not died."""

import asyncio

import pytest

from tests.crash.points_run import run
from tests.crash.points_stages import BY_THE_TOOL, Stage, matching, stages, without_a_scene
from tests.crash.points_tool import Desk
from tests.kit.mortal import Mortal, verdict

pytestmark = pytest.mark.services

SIDE_BY_SIDE = 4


def test_every_crash_point_is_died_at() -> None:
    assert [] == without_a_scene()


@pytest.mark.timeout(300)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stage", list(stages()), ids=str)
async def test_everything_ends_right_though_a_process_dies_at_each_point(
    mortal: Mortal, stage: Stage
) -> None:
    await run(mortal.system, stage)
    assert [] == await verdict(mortal)


@pytest.mark.timeout(300)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_command_of_the_tool_happens_or_not_wherever_it_dies(mortal: Mortal) -> None:
    desk, room = Desk(mortal.system), asyncio.Semaphore(SIDE_BY_SIDE)

    async def die(point: str) -> None:
        async with room:
            await desk.dies_at(point)

    await asyncio.gather(*(die(point) for point in matching(BY_THE_TOOL)))
    assert [] == await verdict(mortal)
