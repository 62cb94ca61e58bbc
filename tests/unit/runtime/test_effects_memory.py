"""The step side's memory in memory keeps the promises of one."""

import pytest

from tests.kit.effects_suite import EffectsSuite, World
from tests.kit.volatile import VolatileWorld


@pytest.fixture
def world() -> World:
    return VolatileWorld()


class TestVolatileMemory(EffectsSuite):
    pass
