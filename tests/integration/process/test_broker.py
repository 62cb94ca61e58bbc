"""RabbitMQ, as consumed by FastStream, keeps the promises of a broker that the simulation counts on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aio_pika
import pytest
from faststream.rabbit import RabbitBroker
from pydantic import SecretStr

from contracts.names import Names
from contracts.process.consuming import Subscription, make_broker, subscribe
from contracts.process.lifecycle import Grace, consumers_running
from contracts.process.publishing import Outgoing, Publisher, publishing
from contracts.process.settings import BrokerSettings
from contracts.process.topology import declare_exchanges, declare_heard, declare_steps
from tests.kit.broker_suite import LISTENER, QUEUE, BrokerSuite, World


class RealWorld:
    def __init__(
        self, names: Names, settings: BrokerSettings, publisher: Publisher, stack: AsyncExitStack
    ) -> None:
        self.names = names
        self._settings = settings
        self._publisher = publisher
        self._stack = stack  # of readers
        self._brokers: list[RabbitBroker] = []

    async def publish(self, message: Outgoing) -> None:
        await self._publisher.publish([message], name="test")

    async def subscribe(self, subscription: Subscription) -> None:
        broker = make_broker(self._settings)
        subscribe(broker, subscription)
        await self._stack.enter_async_context(consumers_running(broker, Grace(1)))
        self._brokers.append(broker)

    async def lose_channels(self) -> None:
        """The broker closes them: it was sent an ack for what it never delivered."""
        subscribers: list[Any] = list(self._brokers[-1].subscribers)
        for subscriber in subscribers:
            underlay = await subscriber._queue_obj.channel.get_underlay_channel()
            await underlay.basic_ack(delivery_tag=999_999)

    async def left(self) -> int:
        await self._stack.aclose()
        async with self._publisher.connection.channel() as channel:
            queue = await channel.declare_queue(self.names.queue(QUEUE), passive=True)
        return queue.declaration_result.message_count or 0


@pytest.fixture
async def world(amqp_url: str, queue_prefix: str) -> AsyncIterator[World]:
    names = Names(queue_prefix)
    settings = BrokerSettings(amqp_url=SecretStr(amqp_url), queue_prefix=queue_prefix)
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        await declare_exchanges(channel, names)
        await declare_steps(channel, names, [QUEUE])
        await declare_heard(channel, names, LISTENER, ["failed"])
    async with publishing(settings, name="test") as publisher, AsyncExitStack() as stack:
        yield RealWorld(names, settings, publisher, stack)


class TestRabbitMQ(BrokerSuite):
    pass
