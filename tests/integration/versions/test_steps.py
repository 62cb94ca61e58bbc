"""A step does what it is asked, whichever release's saga asks for it."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.kit.commands import PROBE, BatchProbe, command
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work
from tests.kit.wire import Wire, wired

pytestmark = pytest.mark.services


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as world:
        await world.tenant("acme")
        yield world


@pytest.fixture
async def wire(amqp_url: str, queue_prefix: str, world: TenantsAtWork) -> AsyncIterator[Wire]:
    async with wired(amqp_url, queue_prefix, world) as wire:
        yield wire


async def test_a_command_of_a_saga_that_this_release_does_not_know_is_carried_out(
    wire: Wire, world: TenantsAtWork
) -> None:
    asked = json.loads(command("acme", await world.saga("acme")).model_dump_json())
    later = {**asked, "saga": "dunning", "facts": {"sleep_a_month": {"woken_at": "later"}}, "urgency": 3}
    async with wire.consumer(BatchProbe().step()):
        await wire.send(json.dumps({"v": 1, "items": [later]}).encode())
        [reply] = await wire.replies()
    assert ("dunning", asked["attempt"], "done") == (reply.saga, reply.attempt, reply.outcome.kind)
    assert 0 == await wire.waiting(PROBE)
