"""Vendors that fail as vendors do: before the effect, after it, slowly, or for good."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.errors import StepRejected, StepTransient, StepUnknown
from orchestrator.store.port import SagaKey

if TYPE_CHECKING:
    from tests.simulation.world import World

HANGS = 60.0
"""Longer than any attempt may run."""


@dataclass(slots=True)
class Vendors:
    world: "World"
    asked: Counter[SagaKey] = field(default_factory=Counter)
    """Calls of the model that were answered, whether the answer arrived or not."""
    counted: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """Usage events by customer, identifier and value. An identifier is counted once."""
    refused: set[str] = field(default_factory=set)
    """Customers that the vendor does not know."""
    said: Counter[tuple[SagaKey, str]] = field(default_factory=Counter)

    async def _trouble(self, happened: bool) -> None:
        """What may go wrong before, or after, something happened."""
        chance, weather = self.world.chance, self.world.weather
        await asyncio.sleep(chance.random() * 10 * weather.lag)
        if chance.random() >= weather.vendor / 2:
            return
        kind = chance.randrange(4)
        if kind == 0:
            await asyncio.sleep(HANGS)
        if kind == 1:
            raise OSError("the line is dead")  # nothing is known of what was on it
        if happened or kind == 2:
            raise StepUnknown("no answer", error="NoAnswer")
        raise StepTransient("too many calls", error="Overloaded", retry_after=chance.random() / 10)

    async def ask(self, key: SagaKey, leads: int) -> int:
        """How many leads the model found, at most `leads`. It takes its time."""
        chance, weather = self.world.chance, self.world.weather
        await asyncio.sleep(chance.random() * min(1.0, 50 * weather.lag))
        await self._trouble(happened=False)
        if chance.random() < weather.vendor / 20:
            raise StepRejected("the model refuses", error="ModelRefused")
        self.asked[key] += 1
        found = chance.choice((leads, leads, leads, leads // 2, 0))
        await self._trouble(happened=True)
        return found

    async def count(self, customer: str, identifier: str, value: int) -> None:
        await self._trouble(happened=False)
        if not any(known == identifier for _, known, _ in self.counted):
            if customer in self.refused:
                raise StepRejected("no such customer", error="NoCustomer")
            self.counted[customer, identifier, value] += 1
        await self._trouble(happened=True)

    async def say(self, key: SagaKey, event: str) -> None:
        await self._trouble(happened=False)
        self.said[key, event] += 1
        await self._trouble(happened=True)
