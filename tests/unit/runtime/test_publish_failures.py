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


class FailingExchange:
    """Fails its messages in the same moment, each in its own way."""

    def __init__(self, failures: list[BaseException | None]) -> None:
        self.failures = failures
        self.all_there = asyncio.Barrier(len(failures))
        self.begun = asyncio.Event()
        self.line_is_dead = asyncio.CancelledError in map(type, failures)

    async def publish(self, *_: Any, **__: Any) -> None:
        failure = self.failures.pop()
        self.begun.set()
        await self.all_there.wait()
        if failure is not None:
            raise failure


class FailingChannel:
    is_closed = False

    def __init__(self, exchange: FailingExchange) -> None:
        self.exchange = exchange

    async def get_exchange(self, *_: Any, **__: Any) -> FailingExchange:
        return self.exchange

    async def close(self) -> None:
        self.is_closed = True
        if self.exchange.line_is_dead:
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
    channel = FailingChannel(FailingExchange(list(failures)))

    with pytest.raises(expected):
        await publisher_on(channel).publish([MESSAGE] * len(failures), name="commands")
    assert channel.is_closed == (expected is Unconfirmed)


async def test_who_is_cancelled_while_it_publishes_stays_cancelled():
    exchange = FailingExchange([None, None])
    publish = asyncio.create_task(publisher_on(FailingChannel(exchange)).publish([MESSAGE], name="commands"))
    await exchange.begun.wait()
    publish.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publish


async def test_a_failure_that_nobody_tries_to_mend_is_forgotten(monkeypatch):
    publisher = publisher_on(FailingChannel(FailingExchange([RETURNED])))
    with pytest.raises(Unroutable):
        await publisher.publish([MESSAGE], name="commands")
    assert (False, True) == (publisher.connected, publisher.astray)

    loop = asyncio.get_running_loop()
    later = loop.time() + TIMEOUT + AGAIN_WITHIN
    monkeypatch.setattr(loop, "time", lambda: later)
    assert (True, False) == (publisher.connected, publisher.astray)
