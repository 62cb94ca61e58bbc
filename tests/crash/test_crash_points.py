"""A process dies by SIGKILL at each of its crash points and is started again: everything ends right, as if it
had not died."""

import pytest

from tests.crash.conftest import Mortal
from tests.crash.points_run import run, verdict
from tests.crash.points_stages import Stage, stages, without_a_scene

pytestmark = pytest.mark.services


def test_every_crash_point_is_died_at() -> None:
    assert [] == without_a_scene()


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stage", list(stages()), ids=str)
async def test_every_saga_ends_right_though_the_process_dies_at(mortal: Mortal, stage: Stage) -> None:
    await run(mortal.system, stage)
    assert [] == await verdict(mortal.system, mortal.database_url, mortal.sandbox)
