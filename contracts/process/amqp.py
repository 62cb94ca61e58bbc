"""Habits of the client libraries (aio-pika, aiormq, pamqp) that we cannot live with, mended in one place.

A line that dies must be an error like any other, and a message must be readable whatever its sender wrote
around it: what cannot be read ends the connection, comes again on the next one, and so stops every consumer.
And a channel that the broker closes must be given up: until that is said, its consumer is given messages.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from aio_pika import DeliveryMode
from aiormq import Connection
from pamqp import decode
from pamqp.common import FieldTable

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
