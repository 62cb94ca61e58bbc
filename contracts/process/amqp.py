"""Habits of the client libraries (aio-pika, aiormq, pamqp) that we cannot live with, mended in one place.

A line that dies must be an error like any other. A message must be readable whatever its sender wrote around
it: what cannot be read ends the connection, comes again on the next one, and so stops every consumer. A
channel that the broker closes must be given up: until then its consumer is given messages. And what is
published together must travel together: see `write_together`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from aio_pika import DeliveryMode
from aiormq import Connection
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp import commands, decode
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.common import FieldTable
from pamqp.header import ContentHeader

MOST_CHANNELS = 2047
"""Of one connection, unless RabbitMQ is told otherwise (`channel_max`)."""


@contextmanager
def dead_line_is_an_error() -> Iterator[None]:
    """Raises ConnectionError where aiormq raises CancelledError, or Exception itself, in those who wait for
    something on a connection that was silent for too long, or ended between two frames. To be cancelled
    oneself stays that."""
    task = asyncio.current_task()
    assert task is not None
    cancelled = task.cancelling()
    try:
        yield
    except asyncio.CancelledError:
        if task.cancelling() > cancelled:
            raise
        raise ConnectionError("the line was silent for too long") from None
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise ConnectionError("the line has ended") from error


def read_whatever_comes() -> None:
    """From now on, everywhere in this process: a point in time after the year 9999 is none, a table with
    names that are not UTF-8 is empty, in any other text what is not UTF-8 becomes U+FFFD, and a delivery mode
    that does not exist is persistent."""
    decode.METHODS.update(shortstr=_short_str, table=_table, timestamp=_timestamp)
    decode.TABLE_MAPPING.update({b"F": _table, b"T": _timestamp})
    DeliveryMode._missing_ = classmethod(lambda cls, _: cls.PERSISTENT)  # type: ignore[assignment]


def answer_every_close() -> None:
    """On connections made from now on, in all of this process, all channels may be closed at once. aiormq
    drops `Channel.CloseOk` when ten frames wait to be sent, and opens the channel anew; the broker then keeps
    the old one, whose consumer takes its share of the messages and never acknowledges any."""
    Connection.FRAME_BUFFER_SIZE = MOST_CHANNELS


def _short_str(value: bytes) -> tuple[int, str]:
    end = 1 + value[0]
    return end, value[1:end].decode(errors="replace")


def _table(value: bytes) -> tuple[int, FieldTable]:
    try:
        return decode.field_table(value)
    except UnicodeDecodeError:
        return 4 + int.from_bytes(value[:4]), {}


def _timestamp(value: bytes) -> tuple[int, datetime | None]:
    try:
        return decode.timestamp(value)
    except ValueError:
        return 8, None


@dataclass(frozen=True, slots=True)
class Written:
    """A message as it goes over the line. `properties` hold a `message_id` of its own."""

    publish: commands.Basic.Publish
    properties: commands.Basic.Properties
    body: bytes

    def frames(self, most: int) -> Iterator[Frame | ContentHeader | ContentBody]:
        """`most`: bytes of a body that one frame may carry."""
        yield self.publish
        yield ContentHeader(properties=self.properties, body_size=len(self.body))
        for start in range(0, len(self.body), most):
            yield ContentBody(self.body[start : start + most])


async def write_together(channel: Channel, messages: Sequence[Written]) -> "list[asyncio.Future[Any]]":
    """Writes all of them at once. Each future ends with the confirm of its message; it fails with
    PublishError when the message was returned, and with whatever ended the channel.

    The library's `basic_publish` does the same for one message, waits for the socket after it, and lets no
    other begin before: four times the work in Python, and a write to the socket for each (decision 0023).
    """
    frames = [frame for message in messages for frame in message.frames(channel.max_content_size)]
    if channel.is_closed:
        raise ChannelInvalidStateError(f"{channel!r} closed")
    await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
    # From here on nothing is awaited: the broker counts in the order of what is written, and so must we.
    return [_awaited(channel, message) for message in messages]


def _awaited(channel: Channel, message: Written) -> "asyncio.Future[Any]":
    channel.delivery_tag += 1
    confirm: asyncio.Future[Any] = channel.create_future()
    channel.confirmations[channel.delivery_tag] = confirm
    if message.publish.mandatory:
        # Only these are returned, and they are known by their ids then.
        name, returnable = str(message.properties.message_id), channel.message_id_delivery_tag
        returnable[name] = channel.delivery_tag
        confirm.add_done_callback(partial(_forget, returnable, name))
    return confirm


def _forget(returnable: dict[str, int], name: str, _: object) -> None:
    returnable.pop(name, None)
