"""A publish that fails says how: as one error that callers know, whatever happened at once."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq import spec
from pydantic import SecretStr

from contracts.process.publishing import AGAIN_WITHIN, Outgoing, Publisher, Unconfirmed, Unroutable
from contracts.process.settings import BrokerSettings


class FailingLine:
    """Stands in for aiormq's channel. Ends all confirms in the same moment, each in its own way."""

    number = 1
    max_content_size = 100_000

    def __init__(self, failures: list[BaseException | None]) -> None:
        self.failures = failures
        self.write_queue = self
        self.begun = asyncio.Event()
        self.is_closed = False
        self.delivery_tag = 0
        self.confirmations: dict[int, asyncio.Future[None]] = {}
        self.message_id_delivery_tag: dict[str, int] = {}

    async def put(self, _: object) -> None:
        self.begun.set()

    def create_future(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        confirm: asyncio.Future[None] = loop.create_future()
        if self.failures:
            loop.call_soon(self._end, confirm, self.failures.pop())
        return confirm

    @staticmethod
    def _end(confirm: asyncio.Future[None], failure: BaseException | None) -> None:
        match failure:
            case None:
                confirm.set_result(None)
            case asyncio.CancelledError():
                confirm.cancel()
            case _:
                confirm.set_exception(failure)


class FailingChannel:
    """And in for aio-pika's, around it."""

    is_closed = False

    def __init__(self, line: FailingLine) -> None:
        self.line = line
        self.line_is_dead = asyncio.CancelledError in map(type, line.failures)

    async def get_underlay_channel(self) -> FailingLine:
        return self.line

    async def close(self) -> None:
        self.is_closed = True
        if self.line_is_dead:
            raise asyncio.CancelledError


class FakeConnection:
    def __init__(self, channel: FailingChannel) -> None:
        self.made = channel
        self.connected = asyncio.Event()
        self.connected.set()

    async def channel(self, **_: Any) -> FailingChannel:
        return self.made


RETURNED = PublishError(
    cast(Any, SimpleNamespace(delivery=spec.Basic.Return(reply_code=312))), spec.Basic.Ack()
)


TIMEOUT = 2
MESSAGE = Outgoing(exchange="e", routing_key="k", body=b"{}")


def publisher_on(channel: FailingChannel) -> Publisher:
    settings = BrokerSettings(amqp_url=SecretStr("amqp://127.0.0.1"), publish_timeout=TIMEOUT)
    return Publisher(cast(Any, FakeConnection(channel)), settings)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([RETURNED, None], Unroutable),
        ([ConnectionError(), None], Unconfirmed),
        ([DeliveryError(None, spec.Basic.Nack()), None], Unconfirmed),
        ([RETURNED, ConnectionError()], Unconfirmed),
        ([RETURNED, RETURNED], Unroutable),
        # So the client library ends those who wait for something on a line that dies.
        ([asyncio.CancelledError(), asyncio.CancelledError()], Unconfirmed),
        ([asyncio.CancelledError(), None], Unconfirmed),
        ([Exception(), Exception()], Unconfirmed),
        ([RETURNED, asyncio.CancelledError()], Unconfirmed),
    ],
)
async def test_what_fails_together_is_still_one_error(failures, expected):
    channel = FailingChannel(FailingLine(list(failures)))

    with pytest.raises(expected):
        await publisher_on(channel).publish([MESSAGE] * len(failures), name="commands")
    assert channel.is_closed == (expected is Unconfirmed)


async def test_who_is_cancelled_while_it_publishes_stays_cancelled():
    line = FailingLine([])
    publish = asyncio.create_task(publisher_on(FailingChannel(line)).publish([MESSAGE], name="commands"))
    await line.begun.wait()
    publish.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publish


async def test_a_failure_that_nobody_tries_to_mend_is_forgotten(monkeypatch):
    publisher = publisher_on(FailingChannel(FailingLine([RETURNED])))
    with pytest.raises(Unroutable):
        await publisher.publish([MESSAGE], name="commands")
    assert (False, True) == (publisher.connected, publisher.astray)

    loop = asyncio.get_running_loop()
    later = loop.time() + TIMEOUT + AGAIN_WITHIN
    monkeypatch.setattr(loop, "time", lambda: later)
    assert (True, False) == (publisher.connected, publisher.astray)
