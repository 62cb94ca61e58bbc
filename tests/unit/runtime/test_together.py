"""What is delivered while a bundle is carried out waits, and is carried out as one."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from contracts.process.consuming import Delivery
from steps.runtime.batch import Answers
from steps.runtime.together import MOST, Taken, Together
from tests.kit.commands import command


def taken(commands: int = 1) -> Taken:
    delivery = Delivery(
        items=[], body=b"", message_id="", routing_key="", redelivered=False, count=0, headers={}
    )
    return Taken(delivery, [command("acme", uuid4()) for _ in range(commands)], [])


@dataclass
class Stage:
    """Transactions and publishes that take until they are let go."""

    run: list[list[Taken]] = field(default_factory=list)
    told: list[list[Taken]] = field(default_factory=list)
    broken_off: list[list[Taken]] = field(default_factory=list)
    runs: asyncio.Event = field(default_factory=asyncio.Event)
    """Let go."""
    tells: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.tells.set()
        self.together = Together(self._run, self._tell)
        self.tasks: list[asyncio.Task[None]] = []

    async def _run(self, each: Sequence[Taken]) -> Answers:
        self.run.append(list(each))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.runs.wait()
            if self.error is not None:
                error, self.error = self.error, None
                raise error
        except asyncio.CancelledError:
            self.broken_off.append(list(each))
            raise
        finally:
            self.at_once -= 1
        return Answers()

    async def _tell(self, each: Sequence[Taken], _: Answers) -> None:
        await self.tells.wait()
        self.told.append(list(each))

    async def deliver(self, *several: Taken) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.together.take(each)) for each in several]
        self.tasks += tasks
        await settle()
        return tasks


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def stage() -> Any:
    stage = Stage()
    yield stage
    for task in stage.tasks:
        task.cancel()
    await asyncio.gather(*stage.tasks, return_exceptions=True)


async def test_an_idle_queue_carries_out_each_delivery_as_it_comes(stage: Stage) -> None:
    stage.runs.set()
    one, two = taken(), taken()
    for each in (one, two):
        [task] = await stage.deliver(each)
        await task
    assert [[one], [two]] == stage.run == stage.told


async def test_what_is_delivered_meanwhile_is_carried_out_as_one(stage: Stage) -> None:
    first, *others = several = [taken() for _ in range(5)]
    await stage.deliver(first)
    tasks = await stage.deliver(*others)
    assert [[first]] == stage.run
    stage.runs.set()
    await asyncio.gather(*tasks)
    assert [[first], others] == stage.run
    assert several == [each for group in stage.told for each in group]
    assert 1 == stage.most_at_once


async def test_deliveries_are_put_together_whole_up_to_a_limit(stage: Stage) -> None:
    sizes = [1, MOST // 2, MOST // 2, 1, MOST + 1, 2]
    tasks = await stage.deliver(taken(1))
    tasks += await stage.deliver(*map(taken, sizes))
    stage.runs.set()
    await asyncio.gather(*tasks)
    found = [[len(each.commands) for each in group] for group in stage.run]
    assert [[1], [1, MOST // 2], [MOST // 2, 1], [MOST + 1], [2]] == found


async def test_a_transaction_runs_while_what_came_of_the_last_one_is_published(stage: Stage) -> None:
    stage.runs.set()
    stage.tells.clear()
    one, two = taken(), taken()
    first = await stage.deliver(one)
    second = await stage.deliver(two)
    assert [[one], [two]] == stage.run
    assert not any(task.done() for task in first + second), "nothing is confirmed yet"
    stage.tells.set()
    await asyncio.gather(*first, *second)


async def test_who_is_cancelled_while_it_waits_is_not_carried_out_and_nobody_else_is_held_up(
    stage: Stage,
) -> None:
    first, lost, other = taken(), taken(), taken()
    await stage.deliver(first)
    waits, stays = await stage.deliver(lost, other)
    waits.cancel()
    stage.runs.set()
    await stays
    assert [[first], [other]] == stage.run
    assert waits.cancelled()


async def test_who_is_cancelled_in_the_middle_does_not_break_off_the_others(stage: Stage) -> None:
    one, two = taken(), taken()
    lost, stays = await stage.deliver(one, two)
    lost.cancel()
    await settle()
    assert lost.cancelled()
    stage.runs.set()
    await stays
    assert ([[one, two]], []) == (stage.told, stage.broken_off)


@pytest.mark.parametrize("while_told", [False, True])
async def test_what_nobody_waits_for_any_more_is_broken_off_and_the_next_goes_on(
    stage: Stage, *, while_told: bool
) -> None:
    if while_told:
        stage.runs.set()
        stage.tells.clear()
    one, two, three = taken(), taken(), taken()
    lost = await stage.deliver(one, two)
    for task in lost:
        task.cancel()
    await asyncio.gather(*lost, return_exceptions=True)
    assert ([] if while_told else [[one, two]]) == stage.broken_off
    stage.runs.set()
    stage.tells.set()
    [goes_on] = await stage.deliver(three)
    await goes_on
    assert [[three]] == stage.told


async def test_who_is_cancelled_waits_until_its_transaction_is_rolled_back(stage: Stage) -> None:
    rolled_back, begun = asyncio.Event(), asyncio.Event()

    async def run(_: Sequence[Taken]) -> Answers:
        try:
            await asyncio.Event().wait()
        finally:
            begun.set()
            await rolled_back.wait()
        return Answers()

    stage.together.run = run
    [lost] = await stage.deliver(taken())
    lost.cancel()
    await begun.wait()
    await settle()
    assert not lost.done()
    rolled_back.set()
    with suppress(asyncio.CancelledError):
        await lost
    assert lost.cancelled()


async def test_what_fails_fails_for_who_was_in_it_and_for_nobody_else(stage: Stage) -> None:
    stage.error = ZeroDivisionError()
    both = await stage.deliver(taken(), taken())
    [other] = await stage.deliver(taken())
    stage.runs.set()
    found = await asyncio.gather(*both, other, return_exceptions=True)
    assert [ZeroDivisionError, ZeroDivisionError, type(None)] == list(map(type, found))


async def test_a_dead_command_is_given_up_by_the_delivery_that_carried_it() -> None:
    one, two = taken(2), taken(1)
    two.commands.append(one.commands[0].model_copy())
    two.misplaced.append((command("acme", uuid4()), "misplaced"))
    answers = Answers(dead=[(one.commands[0], "first"), (two.commands[1], "copy")])
    assert [(one.commands[0], "first")] == one.given_up(answers)
    assert [(two.commands[1], "copy"), *two.misplaced] == two.given_up(answers)
