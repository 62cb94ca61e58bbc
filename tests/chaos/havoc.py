"""Killing: whom, how and when is drawn from the seed; how long it took to recover is measured."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.chaos.world import OURS, POSTGRES, RABBITMQ, SANDBOX, How, World

WEIGHTS: dict[tuple[str, How], float] = {
    **{(name, "kill"): 20.0 for name in OURS},
    (SANDBOX, "kill"): 12.0,
    (POSTGRES, "kill"): 5.0,
    (POSTGRES, "stop"): 2.0,
    (RABBITMQ, "kill"): 2.0,
    (RABBITMQ, "stop"): 1.0,
}
RECOVERY_SECONDS = 60.0
UNHURT_SECONDS = 6.0
"""Before the first blow: a broker that is killed right after queues were declared forgets what is in them
(rabbitmq-server issue 10070)."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """`wait`: seconds after the blow before; `down`: seconds until the victim is started again."""

    wait: float
    victim: str
    how: How
    down: float


def blows(every: float, chance: Random) -> Iterator[Blow]:
    """Without end, one every so many seconds on average; the same ones for the same seed. The first of them
    hit one victim of each kind, so that a short run has them all."""
    first: list[tuple[str, How]] = [
        (OURS[0], "kill"),
        (OURS[2], "kill"),
        (RABBITMQ, "kill"),
        (POSTGRES, "kill"),
        (SANDBOX, "kill"),
    ]
    chance.shuffle(first)
    calm = UNHURT_SECONDS
    while True:
        drawn = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        victim, how = first.pop() if first else drawn
        wait, down = chance.uniform(0.5, 1.5) * every, chance.uniform(0.0, 1.5)
        yield Blow(wait=calm + wait, victim=victim, how=how, down=down)
        calm = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds from the blow until the victim was ready again, and until the next request was answered after
    that; None when it did not come to that. After a blow to a service all who were not hit since must be."""

    victim: str
    how: How
    at: float
    ready: float | None
    progress: float | None


@dataclass(slots=True)
class Havoc:
    """`answered` counts answers: whether there is progress."""

    world: World
    answered: Callable[[], int]
    say: Callable[[str], None]
    recoveries: list[Recovery] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    """Processes of ours that nobody killed, and that ended all the same, with their last words. That breaks
    no promise as long as somebody starts them again, but it should be rare."""
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _down: set[str] = field(default_factory=set)
    _hit: dict[str, float] = field(default_factory=dict)
    """When each victim was hit last."""

    async def run(self, planned: Iterator[Blow], until: float) -> None:
        """Strikes until that moment (of time.monotonic); everything that was hit is up again on return."""
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                for blow in planned:
                    if time.monotonic() + blow.wait >= until:
                        break
                    await asyncio.sleep(blow.wait)
                    group.create_task(self._strike(blow))
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _strike(self, blow: Blow) -> None:
        async with self.locks.setdefault(blow.victim, asyncio.Lock()):
            self._down.add(blow.victim)
            at = self._hit[blow.victim] = time.monotonic()
            await self.world.end(blow.victim, blow.how)
            await asyncio.sleep(blow.down)
            await self.world.start(blow.victim)
            self._down.discard(blow.victim)
            ready = await self._within(self._ready(blow.victim, at), at)
        progress = await self._within(self._progress(), at) if ready is not None else None
        self.recoveries.append(
            Recovery(victim=blow.victim, how=blow.how, at=at, ready=ready, progress=progress)
        )

    async def _ready(self, victim: str, at: float) -> None:
        if victim in {*OURS, SANDBOX}:
            await self.world.ready(victim)
            return
        while hurt := [name for name in OURS if self._hit.get(name, 0.0) < at]:
            if await self.world.are_ready(*hurt):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _progress(self) -> None:
        before = self.answered()
        while self.answered() == before:
            await asyncio.sleep(LOOK_SECONDS)

    async def _within(self, recovered: Coroutine[None, None, None], at: float) -> float | None:
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                await recovered
        except TimeoutError:
            return None
        return time.monotonic() - at

    async def _watch(self) -> None:
        """Who ends by itself is started again, and not forgotten."""
        while True:
            for name in self.world.died():
                if name not in self._down:
                    self.deaths.append(f"{name}: {self.world.last_words(name)}")
                    self.say(f"ended by itself: {self.deaths[-1]}")
                    await self.world.start(name)
            await asyncio.sleep(1.0)
