"""One broker for all tests of its border, which starts in seconds."""

from collections.abc import AsyncIterator

import pytest_asyncio

from deploy.local.place import temporary
from tests.kit.border import Border, border_with

UPSTREAM = ("acme", "acme.crm", "globex", "administration.signup")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def border() -> AsyncIterator[Border]:
    with temporary() as directory:
        async with border_with(directory, *UPSTREAM) as found:
            yield found
