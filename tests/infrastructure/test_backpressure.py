"""What cannot be worked on waits in the broker, not in our memory."""

import aio_pika
import pytest

from contracts.names import REQUESTS
from tests.infrastructure.conftest import AHEAD
from tests.kit.asking import lead_request
from tests.kit.breakable import Breakable
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import until
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]


async def test_without_its_database_the_orchestrator_takes_no_more_than_it_may(
    breakable: Breakable, tenant: Tenant
) -> None:
    requests = [lead_request(tenant) for _ in range(3 * AHEAD)]
    connection = await aio_pika.connect(breakable.servers.amqp_url)
    async with connection, connection.channel() as channel:

        async def taken() -> int:
            """Of these requests; a queue counts only those that nobody holds."""
            name = breakable.system.names.queue(REQUESTS)
            queue = await channel.declare_queue(name, passive=True)
            return len(requests) - (queue.declaration_result.message_count or 0)

        async def as_many_as_it_may() -> bool:
            return await taken() == AHEAD

        breakable.database.refuse()
        await breakable.until_none_is_ready()
        await breakable.system.upstream.ask(*requests)
        await until(as_many_as_it_may, PATIENCE)
        await breakable.until_none_is_ready()
        assert AHEAD == await taken()
        await breakable.database.heal()

        await breakable.works_again(tenant)
        await breakable.all_is_well(requests)
