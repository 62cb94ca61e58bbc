"""The store in memory keeps the promises of a store."""

import pytest

from tests.kit.engine import MemoryWorld
from tests.kit.store_suite import StoreSuite
from tests.kit.store_world import NOON, World


@pytest.fixture
def world() -> World:
    return MemoryWorld(lambda: NOON)


class TestMemoryStore(StoreSuite):
    pass
