"""The places of a process are shared by tenants: a long line of one is in nobody else's way."""

import asyncio
from dataclasses import dataclass, field

import pytest

from steps.runtime.turns import Turns


@dataclass(slots=True)
class Work:
    """Attempts that run until they are told to end."""

    turns: Turns
    running: list[str] = field(default_factory=list)
    tasks: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    _ends: dict[str, asyncio.Event] = field(default_factory=dict)

    async def asks(self, *names: str) -> None:
        """Names begin with their tenant: `noisy 3`."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._attempt(name))
        await self._settle()

    async def ends(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await self._settle()

    async def cancelled(self, name: str) -> None:
        self.tasks[name].cancel()
        await self._settle()

    async def _attempt(self, name: str) -> None:
        async with self.turns.take(name.split(maxsplit=1)[0]):
            self.running.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.running.remove(name)

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def work() -> Work:
    return Work(Turns(8))


def noisy(count: int) -> list[str]:
    return [f"noisy {number}" for number in range(count)]


async def test_one_tenant_never_has_all_places(work: Work) -> None:
    await work.asks(*noisy(50))
    assert noisy(6) == work.running


async def test_who_comes_anew_need_not_wait_behind_a_long_line(work: Work) -> None:
    await work.asks(*noisy(50), "quiet 1", "other 1")
    assert [*noisy(6), "quiet 1", "other 1"] == work.running


async def test_who_has_the_fewest_under_way_is_next(work: Work) -> None:
    await work.asks(*noisy(50), "quiet 1", "other 1", "quiet 2", "quiet 3")
    assert [*noisy(6), "quiet 1", "other 1"] == work.running
    await work.ends("noisy 0", "noisy 1")
    assert [*noisy(6)[2:], "quiet 1", "other 1", "quiet 2", "quiet 3"] == work.running


async def test_a_place_that_is_free_is_used_again(work: Work) -> None:
    await work.asks(*noisy(8))
    await work.ends(*noisy(2))
    assert noisy(8)[2:] == work.running


async def test_equals_take_turns_in_the_order_in_which_they_came() -> None:
    work = Work(Turns(2))
    await work.asks("a 1", "b 1", "c 1", "a 2", "b 2")
    assert ["a 1", "b 1"] == work.running
    await work.ends("a 1")
    assert ["b 1", "c 1"] == work.running
    await work.ends("b 1", "c 1")
    assert ["a 2", "b 2"] == work.running


@pytest.mark.parametrize("gone", ["noisy 5", "noisy 6", "noisy 7"])
async def test_one_that_is_cancelled_leaves_no_place_behind(work: Work, gone: str) -> None:
    await work.asks(*noisy(8))
    await work.cancelled(gone)
    left = [name for name in noisy(8) if name != gone]
    for name in left:
        await work.ends(name)
    assert [] == work.running
    await work.asks(*(f"again {number}" for number in range(6)))
    assert 6 == len(work.running)


async def test_one_that_is_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    work = Work(Turns(1))
    await work.asks("a 1", "b 1", "c 1")
    work._ends["a 1"].set()
    await asyncio.sleep(0)  # a ends and gives its turn to b, which has not woken yet
    work.tasks["b 1"].cancel()
    await work.ends()
    assert ["c 1"] == work.running


async def test_what_waits_when_the_process_stops_is_left_to_another(work: Work) -> None:
    await work.asks(*noisy(8))
    work.turns.close()
    await work.asks("late 1")
    assert noisy(6) == work.running
    assert all(work.tasks[name].cancelled() for name in ("noisy 6", "noisy 7", "late 1"))
    await work.ends(*noisy(6))
    assert [] == work.running
