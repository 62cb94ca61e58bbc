"""Deliveries that are carried out together are answered together, and each is acknowledged for itself."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.bundle import MOST_BYTES, decode, encode
from contracts.events import Event, Failed
from contracts.messages import Command, Reply
from contracts.names import Names
from contracts.outcomes import Done, Outcome
from contracts.process.consuming import Delivery
from contracts.process.publishing import Outgoing
from steps.runtime.consume import SUSPECT_FROM, Consumer
from steps.runtime.step import Batch, Step
from tests.kit.commands import PROBE, command, stranger
from tests.kit.volatile import VolatileWorld

NAMES = Names()
DEADLINE = 5


@dataclass
class Desk:
    """A step whose bundles wait until they are let go, and a publisher whose confirms do."""

    world: VolatileWorld = field(default_factory=VolatileWorld)
    bundles: list[list[Command]] = field(default_factory=list)
    sent: list[list[Outgoing]] = field(default_factory=list)
    runs: asyncio.Event = field(default_factory=asyncio.Event)
    """Let go."""
    confirms: asyncio.Event = field(default_factory=asyncio.Event)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.confirms.set()
        step = Step(name=PROBE, do=Batch(run=self._run, announce=self._announce))
        [self.queue] = Consumer(step, NAMES, self.world.memory, self).subscriptions()
        self.tasks: list[asyncio.Task[None]] = []

    async def _run(self, _: Any, commands: Sequence[Command]) -> list[Outcome]:
        self.bundles.append(list(commands))
        await self.runs.wait()
        return [Done(facts=self.facts) for _ in commands]

    async def _announce(self, _: Any, commands: Sequence[Command]) -> list[Event]:
        return [
            Failed(
                event_id=each.saga_id, tenant_id=each.tenant_id, request_id=each.request_id, saga=each.saga,
                saga_id=each.saga_id, at=datetime(2026, 11, 21, tzinfo=UTC), reason="for the test",
            )
            for each in commands
        ]  # fmt: skip

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        self.sent.append(list(messages))
        await self.confirms.wait()

    async def deliver(self, *bodies: bytes, **headers: Any) -> list["asyncio.Task[None]"]:
        tasks = [
            asyncio.create_task(self.queue.handler(delivery(f"m-{number}", body, **headers)))
            for number, body in enumerate(bodies)
        ]
        self.tasks += tasks
        for _ in range(30):
            await asyncio.sleep(0)
        return tasks

    async def busy(self) -> "asyncio.Task[None]":
        """A first bundle is under way: what is delivered from now on waits."""
        [task] = await self.deliver(encode(await self.commands(1)))
        return task

    async def commands(self, number: int) -> list[Command]:
        return [command("acme", await self.world.saga("acme")) for _ in range(number)]

    def replies(self) -> list[list[Reply]]:
        """A list for each message."""
        return [decode(sent.body, Reply) for sent in self._to(NAMES.replies_exchange)]

    def letters(self) -> dict[str | None, bytes]:
        return {sent.message_id: sent.body for sent in self._to(NAMES.dead_exchange)}

    def _to(self, exchange: str) -> list[Outgoing]:
        return [sent for group in self.sent for sent in group if sent.exchange == exchange]


def delivery(message_id: str, body: bytes, *, count: int = 0, redelivered: bool = False) -> Delivery:
    return Delivery(
        items=decode(body, Command), body=body, message_id=message_id, routing_key=PROBE,
        redelivered=redelivered, count=count, headers={},
    )  # fmt: skip


@pytest.fixture
async def desk() -> Any:
    desk = Desk()
    yield desk
    for task in desk.tasks:
        task.cancel()
    await asyncio.gather(*desk.tasks, return_exceptions=True)


async def ended(*tasks: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*tasks)


async def test_what_waits_is_one_bundle_one_message_of_replies_and_its_events_go_first(desk: Desk) -> None:
    first, several = await desk.busy(), [await desk.commands(2) for _ in range(3)]
    tasks = await desk.deliver(*map(encode, several))
    desk.runs.set()
    await ended(first, *tasks)

    whole = {each.saga_id for bundle in several for each in bundle}
    assert [1, 6] == list(map(len, desk.bundles))
    assert [1, 6] == list(map(len, desk.replies()))
    assert whole == {reply.saga_id for reply in desk.replies()[1]}
    exchanges = [{sent.exchange for sent in group} for group in desk.sent]
    assert [{NAMES.events_exchange}, {NAMES.replies_exchange}] * 2 == exchanges


async def test_nothing_is_acknowledged_before_its_answers_are_confirmed(desk: Desk) -> None:
    desk.runs.set()
    desk.confirms.clear()
    tasks = await desk.deliver(*[encode(await desk.commands(1)) for _ in range(3)])
    assert not any(task.done() for task in tasks)
    desk.confirms.set()
    await ended(*tasks)


async def test_what_cannot_be_carried_out_is_buried_with_the_message_that_brought_it(desk: Desk) -> None:
    first, [sound, misplaced] = await desk.busy(), await desk.commands(2)
    foreign, elsewhere = command("acme", stranger()), misplaced.model_copy(update={"step": "record_usage"})
    mixed = json.dumps({"v": 1, "items": [{"v": 1}, json.loads(sound.model_dump_json())]}).encode()
    tasks = await desk.deliver(b"nonsense", mixed, encode([foreign]), encode([elsewhere, foreign]))
    desk.runs.set()
    await ended(first, *tasks)

    of_foreign = f"{foreign.saga_id}:{PROBE}:do:1"
    assert {
        "m-0:0": b"nonsense",
        "m-1:0": b'{"v":1,"items":[{"v": 1}]}',
        f"m-2:{of_foreign}": encode([foreign]),
        f"m-3:{of_foreign}": encode([foreign]),
        f"m-3:{misplaced.saga_id}:record_usage:do:1": encode([elsewhere]),
    } == desk.letters()
    assert sound.saga_id in {reply.saga_id for replies in desk.replies() for reply in replies}


async def test_a_suspect_is_put_together_with_nobody(desk: Desk) -> None:
    first, [one, two, other] = await desk.busy(), await desk.commands(3)
    suspects = await desk.deliver(encode([one, two]), count=SUSPECT_FROM, redelivered=True)
    others = await desk.deliver(encode([other]))
    desk.runs.set()
    await ended(first, *suspects, *others)
    assert [[one], [two], [other]] == sorted(desk.bundles[1:], key=[[one], [two], [other]].index)


async def test_replies_travel_in_messages_that_the_broker_takes(desk: Desk) -> None:
    desk.facts = {"text": "x" * (MOST_BYTES // 3)}
    desk.runs.set()
    await ended(*await desk.deliver(encode(await desk.commands(5))))
    assert [2, 2, 1] == list(map(len, desk.replies()))
    assert [5, 3] == list(map(len, desk.sent)), "events, and then all replies at once"


async def test_a_delivery_that_is_lost_while_it_waits_leaves_its_commands_to_the_next_one(desk: Desk) -> None:
    first, [lost, stays] = await desk.busy(), await desk.commands(2)
    gone, kept = await desk.deliver(encode([lost]), encode([stays]))
    gone.cancel()
    again = await desk.deliver(encode([lost]), redelivered=True, count=1)
    desk.runs.set()
    await ended(first, kept, *again)
    assert 1 == [each.saga_id for bundle in desk.bundles for each in bundle].count(lost.saga_id)
    assert [1, 2] == list(map(len, desk.replies()))
