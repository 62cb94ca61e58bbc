"""A dead letter of no saga is published again by the orchestrator, and marked once the broker has it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from contracts.names import REPLIES, REQUESTS, Names, heard_queue
from contracts.process.publishing import Outgoing, Unconfirmed, Unroutable
from orchestrator.bus.replay import again, republisher_of
from orchestrator.run.chores import DIED_AGAIN, Chores
from orchestrator.store.port import Letter, Order
from tests.kit.engine import Engine, lead
from tests.kit.sandbox import until
from tests.kit.store_suite_letters import bury, lying, replay_of
from tests.kit.store_world import letter

NAMES = Names("x.")


class Broker:
    """Fails as ordered, then takes everything."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.has: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        assert "replay" == name
        if self.failures:
            raise self.failures.pop(0)
        self.has += messages


@asynccontextmanager
async def taking_orders(engine: Engine, broker: Broker) -> AsyncIterator[None]:
    async def publish(_: object) -> None: ...

    loop = engine.loop(publish)
    republish = republisher_of(broker, NAMES, ["reserve_quota", "notify_discord"])
    chores = Chores(loop, 0.02, lambda _: None, republish=republish)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(chores.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def result(engine: Engine, order: Order) -> str:
    async def taken() -> bool:
        return await engine.world.order_result(order.order_id) is not None

    await until(taken)
    return str(await engine.world.order_result(order.order_id))


def dead_request(number: int = 1) -> Letter:
    return replace(letter(number), queue=REQUESTS, routing_key="acme.lead_requested")


async def ordered(engine: Engine, told: Letter) -> Order:
    await bury(engine.world, told)
    order = replay_of(told)
    await engine.world.add_order(order)
    return order


async def test_its_exact_bytes_are_published_again_and_it_is_open_no_more(engine: Engine) -> None:
    broker, told = Broker(), dead_request()
    order = await ordered(engine, told)
    async with taking_orders(engine, broker):
        assert "done" == await result(engine, order)
    (sent,) = broker.has
    assert ("x.leadsaga.requests", "acme.lead_requested", told.message) == (
        sent.exchange, sent.routing_key, sent.body,
    )  # fmt: skip
    assert "replayed" == (await lying(engine.world, told)).status


@pytest.mark.parametrize(
    ("queue", "exchange", "key"),
    [
        (REPLIES, "x.leadsaga.replies", REPLIES),
        ("release_quota", "x.leadsaga.commands", "release_quota"),
        (heard_queue("notify_discord"), "", "x.notify_discord.heard"),
    ],
)
def test_a_letter_goes_where_it_died_and_nowhere_else(queue: str, exchange: str, key: str) -> None:
    """An event was heard by others already: it goes to the queue of the one that could not read it."""
    sent = again(replace(letter(1), queue=queue, routing_key="acme.failed"), NAMES)
    assert (exchange, key) == (sent.exchange, sent.routing_key)


async def test_a_broker_that_does_not_confirm_leaves_it_ordered_and_open(engine: Engine) -> None:
    broker, told = Broker(*[Unconfirmed("silence", [])] * 3), dead_request()
    order = await ordered(engine, told)
    async with taking_orders(engine, broker):
        assert "done" == await result(engine, order)
    assert ([], 1) == (broker.failures, len(broker.has))


async def test_one_that_dies_again_before_it_is_marked_stays_open(engine: Engine) -> None:
    told = dead_request()

    class Returning(Broker):
        async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
            await super().publish(messages, name=name)
            await bury(engine.world, told)

    order = await ordered(engine, told)
    async with taking_orders(engine, Returning()):
        assert DIED_AGAIN == await result(engine, order)
    assert ("open", 2) == ((now := await lying(engine.world, told)).status, now.times_seen)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"routing_key": None}, "the key that it came with"),
        ({"queue": "verify_emails"}, "no step of this release reads its queue"),
        ({"status": "moot"}, "the dead letter is moot"),
    ],
)
async def test_what_cannot_be_published_again_is_refused_with_the_reason(
    engine: Engine, changes: dict[str, str], words: str
) -> None:
    broker = Broker()
    order = await ordered(engine, replace(dead_request(), **changes))
    async with taking_orders(engine, broker):
        said = await result(engine, order)
    assert (True, []) == (said.startswith("refused: ") and words in said, broker.has)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Unroutable("a message was returned", []), "a message was returned"),
        (ValueError("its key cannot be written"), "it cannot be published; the orchestrator's log says why"),
    ],
)
async def test_a_letter_that_cannot_be_published_holds_up_no_other_order(
    engine: Engine, failure: Exception, words: str
) -> None:
    bad, fine = await ordered(engine, dead_request(1)), await ordered(engine, dead_request(2))
    async with taking_orders(engine, Broker(failure)):
        assert f"refused: {words}" == await result(engine, bad)
        assert "done" == await result(engine, fine)


async def test_an_order_about_another_step_than_the_saga_is_parked_at_is_refused(engine: Engine) -> None:
    """It was given for what the operator saw; meanwhile the saga has moved."""
    command = await engine.begin(lead(1))
    order = Order(
        order_id=uuid4(),
        key=(command.tenant_id, command.saga_id),
        kind="replay",
        verdict=None,
        actor="ann",
        reason="mended",
        at=("record_usage", "do", 1),
    )
    await engine.world.add_order(order)
    async with taking_orders(engine, Broker()):
        assert "refused: the saga is running, and no more where it was" in await result(engine, order)
    assert "running" == await engine.status(command)
