"""What the client libraries make of a delivery, where no broker of the tests' would let it pass."""

import asyncio

import pytest
from aio_pika import DeliveryMode, IncomingMessage
from aiormq import Connection
from aiormq.abc import DeliveredMessage
from pamqp import commands, frame
from pamqp.header import ContentHeader

from contracts.process.amqp import (
    MOST_CHANNELS,
    answer_every_close,
    dead_line_is_an_error,
    read_whatever_comes,
)


class Channel:
    is_closed = False


def test_a_delivery_mode_that_does_not_exist_is_read_as_persistent() -> None:
    """RabbitMQ lets it pass from 4.0 on."""
    read_whatever_comes()
    header = ContentHeader(body_size=1)
    header.properties.delivery_mode = 3
    _, _, read = frame.unmarshal(frame.marshal(header, 1))
    deliver = commands.Basic.Deliver(consumer_tag="tag", delivery_tag=1, exchange="", routing_key="key")
    message = IncomingMessage(DeliveredMessage(deliver, read, b"x", Channel()))  # type: ignore[arg-type]
    assert DeliveryMode.PERSISTENT == message.delivery_mode


async def test_an_answer_to_every_close_finds_room_among_the_frames_to_be_sent() -> None:
    answer_every_close()
    assert MOST_CHANNELS == Connection("amqp://localhost").write_queue.maxsize


async def test_what_fails_for_reasons_of_its_own_keeps_them() -> None:
    with pytest.raises(ZeroDivisionError), dead_line_is_an_error():
        raise ZeroDivisionError


async def test_whoever_was_cancelled_before_hears_of_a_dead_line_while_closing() -> None:
    begun, ended = asyncio.Event(), list[str]()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            try:
                with dead_line_is_an_error():
                    raise asyncio.CancelledError
            except ConnectionError:
                ended.append("closed")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["closed"] == ended
