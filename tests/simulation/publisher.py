"""Publishing that is confirmed, or not."""

import asyncio
from collections.abc import Sequence

from contracts.process.publishing import Outgoing, Unconfirmed
from tests.simulation.broker import Broker
from tests.simulation.processes import Process

PUBLISH_TIMEOUT = 0.5


class SimulatedPublisher:
    """Implements Publishes: what is confirmed the broker has; what is not, it may have all the same."""

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process = process
        self._broker = broker

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        if not messages:
            return
        process, world = self._process, self._process.world
        await process.point(f"publish {name}")
        if not self._broker.up:
            await asyncio.sleep(PUBLISH_TIMEOUT)
            process.check()
            raise Unconfirmed("TimeoutError", list(messages))
        confirmed = world.chance.random() >= world.weather.unconfirmed
        for message in messages:
            if confirmed or world.chance.random() < 0.5:
                self._broker.take(message)
            process.perhaps_die(f"publish {name}, half way")
        world.trace.say(process.name, "publishes", name, len(messages), "" if confirmed else "unconfirmed")
        await process.point(f"confirm {name}")
        if not confirmed:
            self._broker.repeats += 1
            raise Unconfirmed("TimeoutError", list(messages))
