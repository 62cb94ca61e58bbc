"""Upstream services, which ask and listen. They are no part of the system."""

import asyncio
from typing import TYPE_CHECKING

from contracts.names import REQUESTS, request_key
from contracts.process.publishing import Outgoing
from contracts.requests import Request
from tests.kit.history.records import AskedRequest
from tests.kit.history.upstream import asked_request
from tests.simulation.broker import NAMES
from tests.simulation.scenario import Ask

if TYPE_CHECKING:
    from tests.simulation.world import World

GARBAGE = b'{"v":1,"type":"lead_requested","tenant_id":"acme","request_id":"g","leads":"many"}'
AGAIN = 0.2


class Upstream:
    """Asks again until the broker has confirmed."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.asked: list[AskedRequest] = []
        self.heard: dict[str, bytes] = {}
        """Events by their id."""

    def hear(self, event: Outgoing) -> None:
        event_id = str(event.headers["event-id"])
        if event_id not in self.heard:
            self.world.trace.say("upstream", "hears", event.routing_key)
        self.heard[event_id] = event.body

    async def ask(self, asks: list[Ask]) -> None:
        for ask in asks:
            await asyncio.sleep(max(0.0, ask.at - self.world.loop.time()))
            await self._publish(ask.request)
            if ask.request is not None:
                self.asked.append(asked_request(ask.request))

    async def _publish(self, request: Request | None) -> None:
        world = self.world
        tenant, name, body = "acme", "lead_requested", GARBAGE
        if request is not None:
            tenant, name, body = request.tenant_id, request.type, request.model_dump_json().encode()
        message = Outgoing(
            exchange=NAMES.requests_exchange,
            routing_key=request_key(tenant, name),
            body=body,
            message_id=REQUESTS,
        )
        world.trace.say("upstream", "asks", name, getattr(request, "request_id", "?"))
        while True:
            if world.broker.up:
                if world.chance.random() >= world.weather.unconfirmed:
                    world.broker.take(message)
                    return
                if world.chance.random() < 0.5:
                    world.broker.take(message)
            await asyncio.sleep(AGAIN)
