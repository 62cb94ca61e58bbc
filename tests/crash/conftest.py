"""One running system a module, its processes forked, so that to start one again takes no time."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.crash.points_run import Mortal
from tests.kit.broker import own_prefix
from tests.kit.database import cloned
from tests.kit.sandbox import running_sandbox
from tests.kit.system import running_system
from tests.kit.zygote import ForkedChildren, zygote


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mortal(
    admin_url: str, template: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mortal]:
    directory = tmp_path_factory.mktemp("mortal")
    sandbox = directory / "sandbox"
    async with (
        zygote() as forks,
        cloned(admin_url, template) as database_url,
        own_prefix(amqp_url) as prefix,
        running_sandbox(sandbox) as sandbox_url,
        running_system(
            database_url,
            amqp_url,
            prefix,
            sandbox_url,
            directory,
            settings={"LEADSAGA_NOTICE_INTERVAL": "2"},
            make_children=partial(ForkedChildren, zygote=forks),
        ) as system,
    ):
        yield Mortal(system, database_url, sandbox)
