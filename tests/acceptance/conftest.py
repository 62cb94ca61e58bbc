"""One running system a module: tests in it use tenants of their own, and so do not disturb each other."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.kit.broker import own_prefix
from tests.kit.database import cloned
from tests.kit.sandbox import running_sandbox
from tests.kit.system import RunningSystem, running_system
from tests.kit.zygote import ForkedChildren, zygote


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(
    admin_url: str,
    template: str,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[RunningSystem]:
    """A module that sets `APART = True` gets a process for each step."""
    directory = tmp_path_factory.mktemp("system")
    async with (
        zygote() as forks,
        cloned(admin_url, template) as database_url,
        own_prefix(amqp_url) as prefix,
        running_sandbox(directory / "sandbox") as sandbox_url,
        running_system(
            database_url,
            amqp_url,
            prefix,
            sandbox_url,
            directory,
            apart=getattr(request.module, "APART", False),
            make_children=partial(ForkedChildren, zygote=forks),
        ) as running,
    ):
        yield running
