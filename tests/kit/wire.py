"""Both ends of a step's queues on a real broker, and a consumer in between whose line can be cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from faststream.rabbit import RabbitBroker
from pydantic import SecretStr

from contracts.bundle import decode
from contracts.messages import Reply
from contracts.names import REPLIES, Names
from contracts.process.consuming import make_broker, subscribe
from contracts.process.lifecycle import Grace, consumers_running
from contracts.process.publishing import Outgoing, Publisher, publishing
from contracts.process.settings import BrokerSettings
from steps.runtime.consume import Consumer
from steps.runtime.process import declare
from steps.runtime.step import Step
from tests.kit.commands import PROBE
from tests.kit.tenants_at_work import TenantsAtWork

DEADLINE = 15
"""Seconds that a test waits for the broker."""


@dataclass
class Proxy:
    """A line to the broker that can be cut as if the network were gone: no close, no ack, nothing flushed."""

    url: str
    """Of the broker, through this line."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@asynccontextmanager
async def proxied(amqp_url: str) -> AsyncIterator[Proxy]:
    parts = urlsplit(amqp_url)
    tasks: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        proxy.writers += [writer, far_writer]
        tasks.append(asyncio.create_task(pump(reader, far_writer)))
        tasks.append(asyncio.create_task(pump(far_reader, writer)))

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    address = f"127.0.0.1:{port}"
    proxy = Proxy(urlunsplit(parts._replace(netloc=f"{user}@{address}" if user else address)))
    try:
        yield proxy
    finally:
        server.close()
        await proxy.cut()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class CuttingPublisher(Publisher):
    """Loses the consumer's channel once a reply was confirmed, before its command is acknowledged."""

    inner: Publisher
    lose: Callable[[], Awaitable[None]]
    cuts: int = 0

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        await self.inner.publish(messages, name=name)
        if self.cuts == 0 and any(message.routing_key == REPLIES for message in messages):
            self.cuts += 1
            await self.lose()
            await asyncio.Event().wait()  # until the loss of the channel cancels the handler


@dataclass
class Wire:
    """Stands at both ends of a step's queues: sends as the orchestrator does, and reads what comes out."""

    names: Names
    settings: BrokerSettings
    world: TenantsAtWork
    publisher: Publisher
    channel: AbstractChannel
    proxy: Proxy
    brokers: list[RabbitBroker] = field(default_factory=list)

    @asynccontextmanager
    async def consumer(self, step: Step, publisher: Publisher | None = None) -> AsyncIterator[Consumer]:
        await declare(self.publisher.connection, self.names, [step])
        consumer = Consumer(step, self.names, self.world.memory, publisher or self.publisher)
        broker = make_broker(self.settings)
        for each in consumer.subscriptions():
            subscribe(broker, each)
        self.brokers.append(broker)
        async with consumers_running(broker, Grace(1)):
            yield consumer

    async def send(self, body: bytes, queue: str = PROBE) -> None:
        await self.publisher.publish(
            [Outgoing(exchange=self.names.commands_exchange, routing_key=queue, body=body)], name="commands"
        )

    async def get(self, queue: str) -> AbstractIncomingMessage:
        found = await self.channel.get_queue(self.names.queue(queue), ensure=False)
        async with asyncio.timeout(DEADLINE):
            while True:
                # Asked for one by one: a consumer that is cancelled may take a further one with it.
                message = await found.get(no_ack=True, fail=False)
                if message is not None:
                    return message
                await asyncio.sleep(0.02)

    async def replies(self) -> list[Reply]:
        return decode((await self.get(REPLIES)).body, Reply)

    async def letter(self, queue: str = PROBE) -> AbstractIncomingMessage:
        return await self.get(f"{queue}.dead")

    async def waiting(self, queue: str) -> int:
        """Messages that are in a queue, delivered and unacknowledged ones not among them."""
        declared = await self.channel.declare_queue(self.names.queue(queue), passive=True)
        return declared.declaration_result.message_count or 0

    async def lose_channels(self) -> None:
        """The broker closes what the consumers use: it was sent an ack for what it never delivered."""
        subscribers: list[Any] = list(self.brokers[-1].subscribers)
        for subscriber in subscribers:
            underlay = await subscriber._queue_obj.channel.get_underlay_channel()
            await underlay.basic_ack(delivery_tag=999_999)


@asynccontextmanager
async def wired(amqp_url: str, prefix: str, world: TenantsAtWork) -> AsyncIterator[Wire]:
    """The consumer's line goes through the proxy, publishing has one of its own."""
    settings = BrokerSettings(amqp_url=SecretStr(amqp_url), queue_prefix=prefix, publish_timeout=5)
    async with proxied(amqp_url) as proxy, publishing(settings, name="test") as publisher:
        cuttable = settings.model_copy(update={"amqp_url": SecretStr(proxy.url)})
        connection = await aio_pika.connect(amqp_url)
        async with connection, connection.channel() as channel:
            yield Wire(Names(prefix), cuttable, world, publisher, channel, proxy)
