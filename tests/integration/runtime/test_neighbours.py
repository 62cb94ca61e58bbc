"""Who runs side by side with a poison dies with it, again and again, and must not be taken for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.bundle import decode, encode
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.single import POISON
from steps.runtime.step import Attempt, Single, Step
from tests.kit.commands import PROBE, command
from tests.kit.tenants_at_work import TenantsAtWork
from tests.kit.wire import Wire, wired

PATIENCE = 2.0
"""Seconds that the culprit waits for its neighbours to have begun, if they may."""


@pytest.fixture
async def wire(amqp_url: str, queue_prefix: str, world: TenantsAtWork) -> AsyncIterator[Wire]:
    async with wired(amqp_url, queue_prefix, world) as wire:
        yield wire


@dataclass
class Neighbourhood:
    """One command ends the process, with all who run beside it."""

    culprit: Command
    others: int
    wire: Wire
    running: set[Any] = field(default_factory=set)
    begun: dict[Any, int] = field(default_factory=dict)
    company: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, each: Command, _at: Attempt) -> Outcome:
        self.running.add(each.saga_id)
        self.begun[each.saga_id] = self.begun.get(each.saga_id, 0) + 1
        try:
            if each == self.culprit:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.company.wait(), PATIENCE)
                await self.wire.lose_channels()
                await asyncio.Event().wait()  # until the loss of the channel cancels the handler
            if self.culprit.saga_id in self.running:
                if len(self.running) > self.others:
                    self.company.set()
                await asyncio.Event().wait()  # killed with it
            return Done()
        finally:
            self.running.discard(each.saga_id)
            self.company.clear()


async def test_the_neighbours_of_a_poison_are_answered(wire, world, monkeypatch):
    commands = [command("acme", await world.saga("acme")) for _ in range(3)]
    culprit, *others = commands
    street = Neighbourhood(culprit, len(others), wire)

    async def unnoticed(*_: object) -> None:
        """A process that is killed unmarks nothing."""

    monkeypatch.setattr("steps.runtime.single.interrupted", unnoticed)
    async with wire.consumer(Step(name=PROBE, do=Single(run=street.run))):
        for each in commands:
            await wire.send(encode([each]))
        letter = await wire.letter()
        replies = [await wire.replies() for _ in others]

    assert ([culprit], POISON) == (decode(letter.body, Command), letter.headers["reason"])
    assert {each.saga_id for each in others} == {reply.saga_id for [reply] in replies}
    assert {"done"} == {reply.outcome.kind for [reply] in replies}
    assert 3 == street.begun[culprit.saga_id]
