"""One running system for all tests that break nothing: they use tenants of their own, and so do not disturb
each other."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kit.mortal import own_system
from tests.kit.system import RunningSystem


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def system(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningSystem]:
    async with own_system(admin_url, template, amqp_url, tmp_path_factory.mktemp("system")) as mortal:
        yield mortal.system
