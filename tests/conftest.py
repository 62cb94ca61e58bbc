"""Where tests get a real Postgres and a real RabbitMQ: the first of given URLs, Docker, private instances."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.place import temporary
from deploy.local.services import Services, services
from tests.kit.broker import own_prefix
from tests.kit.database import cloned, drop, make_template

pytest_plugins = ("tests.kit.sandbox",)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_services() -> AsyncIterator[Services]:
    """`make test` starts both once, for all workers, and passes their URLs; else each worker has its own."""
    with temporary() as directory:
        async with services(directory, durable=False) as found:
            yield found


@pytest.fixture(scope="session")
def amqp_url(running_services: Services) -> str:
    return running_services.amqp_url


@pytest.fixture(scope="session")
def admin_url(running_services: Services) -> str:
    """Of a superuser, who may create databases."""
    return running_services.database_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(admin_url: str) -> AsyncIterator[str]:
    name = await make_template(admin_url)
    yield name
    await drop(admin_url, name)


@pytest_asyncio.fixture
async def database_url(admin_url: str, template: str) -> AsyncIterator[str]:
    """A fresh database with the schema, for a superuser; `tests.kit.roles.as_role` gives other roles."""
    async with cloned(admin_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def queue_prefix(amqp_url: str) -> AsyncIterator[str]:
    async with own_prefix(amqp_url) as prefix:
        yield prefix
