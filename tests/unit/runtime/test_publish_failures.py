"""A publish that fails says how: as one error that callers know, whatever happened at once."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq import spec
from pydantic import SecretStr

from contracts.process.publishing import Outgoing, Publisher, Unconfirmed, Unroutable
from contracts.process.settings import BrokerSettings


class FailingExchange:
    """Fails its messages in the same moment, each in its own way."""

    def __init__(self, failures: list[Exception | None]) -> None:
        self.failures = failures
        self.all_there = asyncio.Barrier(len(failures))

    async def publish(self, *_: Any, **__: Any) -> None:
        failure = self.failures.pop()
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


class FakeConnection:
    def __init__(self, channel: FailingChannel) -> None:
        self.made = channel

    async def channel(self, **_: Any) -> FailingChannel:
        return self.made


RETURNED = PublishError(
    cast(Any, SimpleNamespace(delivery=spec.Basic.Return(reply_code=312))), spec.Basic.Ack()
)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([RETURNED, None], Unroutable),
        ([ConnectionError(), None], Unconfirmed),
        ([DeliveryError(None, spec.Basic.Nack()), None], Unconfirmed),
        ([RETURNED, ConnectionError()], Unconfirmed),
        ([RETURNED, RETURNED], Unroutable),
    ],
)
async def test_what_fails_together_is_still_one_error(failures, expected):
    channel = FailingChannel(FailingExchange(list(failures)))
    settings = BrokerSettings(amqp_url=SecretStr("amqp://127.0.0.1"), publish_timeout=2)
    publisher = Publisher(cast(Any, FakeConnection(channel)), settings)
    message = Outgoing(exchange="e", routing_key="k", body=b"{}")

    with pytest.raises(expected):
        await publisher.publish([message] * len(failures), name="commands")
    assert channel.is_closed == (expected is Unconfirmed)
