"""What has to be looked at from time to time: timers, turns, orders, events left behind, gauges."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from contracts.process import crash, logs
from contracts.process.postgres import TROUBLE
from contracts.process.publishing import NotPublished, Unroutable
from orchestrator.run.items import Ordered, Outbox, Tick
from orchestrator.run.letters import why_not_again
from orchestrator.run.loop import Loop
from orchestrator.store.port import Gauges, Letter

log = logs.get("orchestrator")

AT_ONCE = 500
"""Rows that one round of a chore takes."""

DIED_AGAIN = "it was published again, and died again"

Republish = Callable[[Letter], Awaitable[None]]
"""Returns when the broker has it. Raises Unroutable or Unconfirmed."""

LEFT_BEHIND = timedelta(seconds=5)
"""An event older than this was committed by somebody who did not live to publish it."""


@dataclass(slots=True)
class Chores:
    loop: Loop
    tick: float
    """Seconds between two looks at the timers."""
    measure: Callable[[Gauges], None]
    confirmed: list[UUID] = field(default_factory=list)
    """Events that the broker has: to be deleted with the next round, not with a commit of their own."""
    republish: Republish = field(kw_only=True)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._timers, self.tick))
            group.create_task(self._repeat(self._turns, self.tick))
            group.create_task(self._repeat(self._orders, min(self.tick, 0.5)))
            group.create_task(self._repeat(self._events, 1.0))
            group.create_task(self._repeat(self._gauges, 2.0))

    async def _repeat(self, chore: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await chore()
            except TROUBLE as error:
                log.warning("chore_failed", chore=chore.__name__, **logs.fault(error))
            await asyncio.sleep(seconds)

    async def _timers(self) -> None:
        store, now = self.loop.around.store, self.loop.around.clock()
        keys = [key for key in await store.due(now, limit=AT_ONCE) if key not in self.loop.woken]
        if keys:
            await self.loop.wake(keys)
            await store.postpone(keys, now)

    async def _turns(self) -> None:
        await self.loop.handle([Tick()])

    async def _orders(self) -> None:
        orders = await self.loop.around.store.open_orders(limit=AT_ONCE)
        await self.loop.handle([Ordered(order) for order in orders if order.key is not None])
        for order in orders:
            if order.key is None and order.letter is not None:
                await self._replay(order.order_id, order.letter)

    async def _replay(self, order_id: UUID, letter: Letter) -> None:
        """Confirmed before it is marked. A crash in between publishes it twice, which its readers bear."""
        result = why_not_again(letter.queue, letter.routing_key, letter.status, letter.error)
        if not result:
            try:
                await self.republish(letter)
            except Unroutable as error:
                result = f"refused: {error}"
            except NotPublished as error:
                log.warning("publish_not_confirmed", **logs.fault(error))
                return  # it stays ordered
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one letter must not stop all else
                log.warning("replay_failed", dead_letter=str(letter.dead_letter_id), **logs.fault(error))
                result = "refused: it cannot be published; the orchestrator's log says why"
        async with self.loop.around.store.group() as group:
            if not result:
                result = "done" if await group.mark_replayed(letter) else DIED_AGAIN
            await group.finish_orders([(order_id, result)])
            crash.point("group.letter", "commit")
        crash.point("group.letter", "committed")

    async def _events(self) -> None:
        store = self.loop.around.store
        done = list(self.confirmed)
        if done:
            await store.delete_events(done)
            del self.confirmed[: len(done)]
        old = await store.events_before(self.loop.around.clock() - LEFT_BEHIND, limit=AT_ONCE)
        if old:
            log.info("events_left_behind", count=len(old))
            async with crash.around("sweep", "confirmed"):
                await self.loop.publish(Outbox(events=old))

    async def _gauges(self) -> None:
        self.measure(await self.loop.around.store.gauges())
