"""A line to RabbitMQ that dies under a publish confirms nothing, and one that is silent holds up no end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
import pytest
from aiormq.connection import Connection
from pamqp import commands, frame
from pydantic import SecretStr

from contracts.names import Names
from contracts.process import lifecycle
from contracts.process.consuming import make_broker, subscribe
from contracts.process.lifecycle import Grace, consumers_running
from contracts.process.publishing import Outgoing, Publisher, Unconfirmed, publishing
from contracts.process.settings import BrokerSettings
from contracts.process.topology import declare_exchanges, declare_steps
from tests.kit.broker_suite import QUEUE, Reader
from tests.kit.proxy import Proxy, proxied
from tests.kit.sandbox import until

pytestmark = pytest.mark.services

PATIENCE = 20
NEVER_ASKED = commands.Basic.Ack(delivery_tag=999_999)


@pytest.fixture
async def line(amqp_url: str) -> AsyncIterator[Proxy]:
    async with proxied(amqp_url) as proxy:
        yield proxy


@pytest.fixture
def settings(line: Proxy, queue_prefix: str) -> BrokerSettings:
    return BrokerSettings(
        amqp_url=SecretStr(line.url), queue_prefix=queue_prefix, heartbeat=1, publish_timeout=PATIENCE
    )


@pytest.fixture
async def names(amqp_url: str, queue_prefix: str) -> Names:
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        await declare_exchanges(channel, Names(queue_prefix))
        await declare_steps(channel, Names(queue_prefix), [QUEUE])
    return Names(queue_prefix)


async def silence(line: Proxy) -> None:
    """Nothing more is heard, until the client library has had enough of that."""


async def end(line: Proxy) -> None:
    """The line is closed in good order behind a whole frame, while those before it are still being read."""
    for joint in line.joints:
        joint.near.write(frame.marshal(NEVER_ASKED, 1) * 50)
        joint.near.close()


@pytest.mark.parametrize("die", [silence, end])
async def test_what_a_dying_line_leaves_unconfirmed_is_published_again(
    line: Proxy,
    settings: BrokerSettings,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    die: Callable[[Proxy], Awaitable[None]],
) -> None:
    monkeypatch.setattr(Connection, "HEARTBEAT_GRACE_MULTIPLIER", 1)
    messages = [Outgoing(exchange=names.commands_exchange, routing_key=QUEUE, body=b"%d" % n) for n in (1, 2)]
    async with publishing(settings, name="test") as publisher:
        await publisher.publish(messages, name="test")
        line.swallow()
        publish = asyncio.create_task(publisher.publish(messages, name="test"))
        await until(lambda: waiting(publisher, len(messages)))
        await die(line)
        with pytest.raises(Unconfirmed) as lost:
            await publish
        assert messages == list(lost.value.left)
        assert not publisher.connected

        await line.heal()
        await until(lambda: published(publisher, messages), PATIENCE)
        assert publisher.connected


async def waiting(publisher: Publisher, confirms: int) -> bool:
    assert publisher._channel is not None
    underlay = await publisher._channel.get_underlay_channel()
    return confirms == len(underlay.confirmations)


async def published(publisher: Publisher, messages: list[Outgoing]) -> bool:
    try:
        await publisher.publish(messages, name="test")
    except Unconfirmed:
        return False
    return True


async def test_handlers_that_outlive_their_grace_are_cancelled_though_the_broker_is_silent(
    line: Proxy, settings: BrokerSettings, names: Names, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "LEAVE_SECONDS", 0.5)
    reader, broker = Reader(asyncio.Event().wait), make_broker(settings)
    subscribe(broker, reader.of(names.queue(QUEUE)))
    direct = settings.model_copy(update={"amqp_url": SecretStr(amqp_url)})
    async with publishing(direct, name="test") as publisher, consumers_running(broker, Grace(0)):
        message = Outgoing(exchange=names.commands_exchange, routing_key=QUEUE, body=b"1")
        await publisher.publish([message], name="test")
        await reader.has(ended=0, taken=1)
        line.swallow()
    assert ["CancelledError"] == reader.ended
