"""What a broker keeps: messages, and who has them at the moment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.process.consuming import Subscription
from tests.simulation.processes import Process


@dataclass(slots=True)
class Packet:
    """A message as the broker keeps it; `count`: how often it was delivered without an ack."""

    number: int
    queue: str
    body: bytes
    message_id: str
    routing_key: str
    own_headers: Mapping[str, Any]
    count: int = 0
    user_id: str | None = None

    @property
    def redelivered(self) -> bool:
        return self.count > 0

    @property
    def headers(self) -> dict[str, Any]:
        return {**self.own_headers, "x-delivery-count": self.count} if self.count else dict(self.own_headers)


@dataclass(slots=True, eq=False)
class Channel:
    """One consumer of one queue. What is delivered on it belongs to it until it is acknowledged."""

    process: Process
    subscription: Subscription
    open: bool = True
    unacked: dict[int, Packet] = field(default_factory=dict)
    handlers: "dict[int, asyncio.Task[None]]" = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        return self.open and len(self.unacked) < self.subscription.prefetch
