"""Whatever a sender wrote around a message, it is delivered, and so is what comes behind it."""

import struct
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.abc import ChannelFrame
from pamqp import commands
from pydantic import SecretStr

from contracts.names import Names
from contracts.process.consuming import make_broker, subscribe
from contracts.process.lifecycle import Grace, consumers_running
from contracts.process.settings import BrokerSettings
from contracts.process.topology import declare_exchanges, declare_steps
from tests.kit.broker_suite import QUEUE, Reader

pytestmark = pytest.mark.services

METHOD, HEADER, BODY = 1, 2, 3
FRAME_END = b"\xce"
WORD = b"word"
NO_UTF8 = b"caf\xe9"
NANOSECONDS = struct.pack(">Q", 1_790_000_000_000_000_000)
LATEST = struct.pack(">Q", 2**64 - 1)
FLAGS = commands.Basic.Properties.flags


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(name: bytes, value: bytes) -> bytes:
    entry = short(name) + value
    return struct.pack(">I", len(entry)) + entry


ODD = {
    "nothing": (0, b""),
    "timestamp in nanoseconds": (FLAGS["timestamp"], NANOSECONDS),
    "timestamp at the end of time": (FLAGS["timestamp"], LATEST),
    "timestamp among the headers": (FLAGS["headers"], table(b"at", b"T" + NANOSECONDS)),
    "header name that is no UTF-8": (FLAGS["headers"], table(NO_UTF8, b"S\0\0\0\1x")),
    "message id that is no UTF-8": (FLAGS["message_id"], short(NO_UTF8)),
}
"""Flag and bytes of a property."""


@pytest.fixture
async def channel(amqp_url: str, queue_prefix: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel(publisher_confirms=False) as made:
        await declare_exchanges(made, Names(queue_prefix))
        await declare_steps(made, Names(queue_prefix), [QUEUE])
        yield made


@pytest.fixture
async def reader(amqp_url: str, queue_prefix: str, channel: AbstractChannel) -> AsyncIterator[Reader]:
    reader = Reader()
    broker = make_broker(BrokerSettings(amqp_url=SecretStr(amqp_url)))
    subscribe(broker, reader.of(Names(queue_prefix).queue(QUEUE), prefetch=1))
    async with consumers_running(broker, Grace(1)):
        yield reader


async def publish(channel: AbstractChannel, exchange: str, key: bytes, odd: str = "nothing") -> None:
    """Byte for byte, for no client library would write it."""
    flag, value = ODD[odd]
    method = (
        struct.pack(">IH", commands.Basic.Publish.index, 0) + short(exchange.encode()) + short(key) + b"\0"
    )
    header = struct.pack(">HHQH", commands.Basic.frame_id, 0, len(WORD), flag) + value
    underlay = await channel.get_underlay_channel()
    raw = b"".join(
        struct.pack(">BHI", kind, underlay.number, len(payload)) + payload + FRAME_END
        for kind, payload in ((METHOD, method), (HEADER, header), (BODY, WORD))
    )
    await underlay.write_queue.put(ChannelFrame(payload=raw, should_close=False))


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_property_keeps_nothing_from_being_read(
    channel: AbstractChannel, reader: Reader, queue_prefix: str, odd: str
) -> None:
    exchange = Names(queue_prefix).commands_exchange
    await publish(channel, exchange, QUEUE.encode(), odd)
    await publish(channel, exchange, QUEUE.encode())
    await reader.has(ended=2)
    assert [(WORD, False), (WORD, False)] == [(each.body, each.redelivered) for each in reader.taken]
    assert ["done", "done"] == reader.ended


async def test_an_odd_routing_key_keeps_nothing_from_being_read(
    channel: AbstractChannel, reader: Reader, queue_prefix: str
) -> None:
    names = Names(queue_prefix)
    queue = await channel.get_queue(names.queue(QUEUE))
    await queue.bind(names.requests_exchange, routing_key="#")
    await publish(channel, names.requests_exchange, NO_UTF8)
    await publish(channel, names.requests_exchange, b"acme.lead_requested")
    await reader.has(ended=2)
    keys = ["caf\N{REPLACEMENT CHARACTER}", "acme.lead_requested"]
    assert keys == [each.routing_key for each in reader.taken]
    assert ["done", "done"] == reader.ended
