"""One running system a module, its processes forked, so that to start one again takes no time."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kit.mortal import Mortal, own_system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mortal(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mortal]:
    settings = {"LEADSAGA_NOTICE_INTERVAL": "2"}
    async with own_system(
        admin_url, template, amqp_url, tmp_path_factory.mktemp("mortal"), settings
    ) as system:
        yield system
