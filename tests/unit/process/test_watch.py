"""Who keeps watch over a process outlives whatever becomes of the broker."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import aio_pika
import pytest
from pydantic import SecretStr

from contracts.process import lifecycle
from contracts.process.consuming import make_broker
from contracts.process.lifecycle import keep_watch
from contracts.process.settings import BrokerSettings

SETTINGS = BrokerSettings(amqp_url=SecretStr("amqp://127.0.0.1"))


class Database:
    async def answers(self) -> bool:
        return True


@pytest.mark.parametrize("death", [asyncio.CancelledError, Exception, ConnectionError])
async def test_a_line_that_dies_while_it_is_made_is_a_broker_that_is_away(
    monkeypatch: pytest.MonkeyPatch, death: type[BaseException]
) -> None:
    stopping, looks = asyncio.Event(), 0

    async def connect(*_: Any, **__: Any) -> None:
        nonlocal looks
        looks += 1
        if looks > 1:
            stopping.set()
        raise death

    async def declare(_: Any) -> None:
        pytest.fail("there is nothing to declare it on")

    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(aio_pika, "connect", connect)
    publisher, database = cast(Any, SimpleNamespace(astray=False)), cast(Any, Database())
    await keep_watch(make_broker(SETTINGS), publisher, database, SETTINGS, declare, stopping)
    assert 2 == looks
