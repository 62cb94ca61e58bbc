"""RabbitMQ and Postgres are stopped or killed amid running sagas, and started again."""

from typing import Literal

import pytest

from tests.kit.breakable import Breakable
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("server", ["postgres", "rabbitmq"])
async def test_work_goes_on_when_a_server_is_back(
    breakable: Breakable,
    tenant: Tenant,
    server: Literal["postgres", "rabbitmq"],
    how: Literal["stop", "kill"],
) -> None:
    if server == "rabbitmq":
        await breakable.killed_broker_remembers()
    victim = getattr(breakable, server)
    requests = await breakable.load(tenant)

    await getattr(victim, how)()
    await breakable.until_none_is_ready()
    await victim.start()

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)
