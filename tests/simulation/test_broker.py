"""The simulated broker keeps the promises of one."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.process.consuming import Subscription
from contracts.process.publishing import Outgoing
from tests.kit.broker_suite import LISTENER, BrokerSuite, World
from tests.simulation.broker import NAMES, Broker
from tests.simulation.processes import Process, owned
from tests.simulation.publisher import SimulatedPublisher
from tests.simulation.weather import CALM


class Calm:
    """A world in which nothing happens but what the test does."""

    def __init__(self) -> None:
        self.names = NAMES
        self.loop = asyncio.get_running_loop()
        self.loop.set_task_factory(owned)
        self.chance, self.weather = Random(0), CALM
        self.trace = SimpleNamespace(say=lambda *_: None)
        self.upstream = SimpleNamespace(hear=lambda _: None)
        self.broker = Broker(self, {LISTENER: ("failed",)})  # type: ignore[arg-type]  # a part of a World
        self.last = self._process()
        self._sender = SimulatedPublisher(self.last, self.broker)

    def _process(self) -> Process:
        world: Any = self
        return Process(world, "reader")

    def lag(self) -> float:
        return 0.0

    def strikes(self) -> bool:
        return False

    def finds(self, *_: str) -> None:
        pass

    async def publish(self, message: Outgoing) -> None:
        await self._sender.publish([message], name="test")

    async def subscribe(self, subscription: Subscription) -> None:
        self.last = self._process()
        self.broker.subscribe(self.last, [subscription])

    async def lose_channels(self) -> None:
        self.broker.cut(self.last)

    async def left(self) -> int:
        await asyncio.sleep(0)  # the last ack
        self.broker.lose(self.last)
        return len(self.broker.packets())


@pytest.fixture
async def world() -> World:
    return Calm()


class TestSimulatedBroker(BrokerSuite):
    pass
