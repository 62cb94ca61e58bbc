"""The loop: take what is waiting, handle it as one group, publish, then let the sources be acknowledged.

A group is whatever arrived while the last one was handled: an idle system handles groups of one at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from contracts.process import crash, logs
from contracts.process.postgres import AWAY, log_name
from orchestrator.observe import metrics
from orchestrator.run import letters
from orchestrator.run.group import process
from orchestrator.run.items import Answered, Asked, Item, Outbox, Woken, size
from orchestrator.run.work import Report, Surroundings
from orchestrator.store.errors import LOST_RACE
from orchestrator.store.port import Letter, SagaKey

log = logs.get("orchestrator")

PAUSE = 0.5
"""Seconds between tries while the database is away."""

LUCK = 5
"""Tries of a group that lost a race (a log that grew meanwhile, a deadlock) before it is taken apart."""

MOST_BYTES = 8_000_000
"""Of messages in one group. What is not understood is stored as it came, and may be large: one statement that
stores too much of it takes longer than a statement may, or is more than Postgres takes at all (1 GB)."""

Publish = Callable[[Outbox], Awaitable[None]]
"""Returns when everything is confirmed, however long that takes."""

Tell = Callable[[Report], None]


@dataclass(slots=True)
class _Delivered:
    items: Sequence[Item]
    handled: "asyncio.Future[None]"


@dataclass(slots=True)
class Loop:
    around: Surroundings
    publish: Publish
    tell: Tell
    most: int = 400
    """Items in one group."""
    inbox: "asyncio.Queue[_Delivered]" = field(default_factory=asyncio.Queue)
    woken: set[SagaKey] = field(default_factory=set)
    """Keys that are queued or being handled, so that the timer does not pile them up."""

    async def handle(self, items: Sequence[Item]) -> None:
        """Returns when the items are committed and all they led to is confirmed by the broker. Then, and only
        then, their source may be acknowledged."""
        if items:
            delivered = _Delivered(items, asyncio.get_running_loop().create_future())
            self.inbox.put_nowait(delivered)
            try:
                await delivered.handled
            except asyncio.CancelledError:
                # It comes again. While the database is away that may happen often, and would pile up here.
                delivered.items = ()
                raise

    async def wake(self, keys: Sequence[SagaKey]) -> None:
        fresh = [key for key in keys if key not in self.woken]
        self.woken.update(fresh)
        try:
            await self.handle([Woken(key) for key in fresh])
        finally:
            self.woken.difference_update(fresh)

    async def run(self) -> None:
        """One group after another, for ever. Several may run side by side: of two that move one saga, one is
        repeated."""
        while True:
            taken = await self._take()
            items = [item for each in taken for item in each.items]
            if not items:
                continue
            # Whose consumer is cancelled meanwhile gets its message again: nothing is lost by handling it.
            with metrics.GROUP_SECONDS.time():
                report = await self._patiently(items)
                await self.publish(report.outbox)
            metrics.GROUP_SIZE.observe(len(items))
            self.tell(report)
            for each in taken:
                if not each.handled.done():
                    each.handled.set_result(None)

    async def _take(self) -> list[_Delivered]:
        taken = [await self.inbox.get()]
        items, weight = len(taken[0].items), size(taken[0].items)
        while items < self.most and weight < MOST_BYTES and not self.inbox.empty():
            taken.append(self.inbox.get_nowait())
            items += len(taken[-1].items)
            weight += size(taken[-1].items)
        return taken

    async def _patiently(self, items: Sequence[Item]) -> Report:
        while True:
            try:
                return await self._group(items)
            except (*AWAY, *LOST_RACE) as error:
                log.warning(log_name(error), **logs.fault(error))
                await asyncio.sleep(PAUSE)
                # The commit may have succeeded with nobody there to hear it, as in a crash.
                items = [_again(item) for item in items]

    async def _group(self, items: Sequence[Item]) -> Report:
        unlucky: Exception | None = None
        for _ in range(LUCK):
            try:
                return await process(self.around, items)
            except AWAY:
                raise
            except LOST_RACE as error:
                log.info("group_repeated", **logs.fault(error))
                unlucky = error
            except Exception as error:  # noqa: BLE001 - one item is at fault: it must not stop the others
                log.warning("group_failed", items=len(items), **logs.fault(error))
                unlucky = None
                break
        if len(items) > 1:
            return await self._one_by_one(items)
        if unlucky is not None:
            raise unlucky
        return await self._bury(items[0])

    async def _one_by_one(self, items: Sequence[Item]) -> Report:
        whole = Report()
        for item in items:
            part = await self._patiently([item])
            for queue, commands in part.outbox.commands.items():
                whole.outbox.commands.setdefault(queue, []).extend(commands)
            whole.outbox.events += part.outbox.events
            whole.appended += part.appended
            whole.unknown += part.unknown
            whole.stale += part.stale
            whole.foreign += part.foreign
        return whole

    async def _bury(self, item: Item) -> Report:
        """What fails alone, again and again, is kept for a human. Timers and orders come again. Nothing is
        given up before it is kept."""
        letter = letters.failed(self.around.new_id, item)
        while letter and not await self._keep(letter) and not await self._keep(letters.bare(letter)):
            log.error("not_buried", queue=letter.queue, message_id=letter.message_id)
            await asyncio.sleep(PAUSE)
        return Report()

    async def _keep(self, letter: Letter) -> bool:
        """Whether the database could hold it. A letter that it cannot hold must not end the loop, or it would
        end it again after every restart."""
        try:
            async with self.around.store.group() as group:
                await group.bury([letter])
                crash.point("group.failed", "commit")
            crash.point("group.failed", "committed")
        except (*AWAY, *LOST_RACE):
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this letter
            log.warning("burial_failed", queue=letter.queue, **logs.fault(error))
            return False
        return True


def _again(item: Item) -> Item:
    return replace(item, redelivered=True) if isinstance(item, Asked | Answered) else item
