"""Visits the tenants whose work is due, side by side: the trouble of one never delays another."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from contracts.process import logs
from contracts.process.postgres import TROUBLE
from steps.runtime.step import Worker
from steps.work import due
from steps.work.due import Kind

log = logs.get("work")

Visit = Callable[[Worker, str], Awaitable[None]]
"""Does what is due for one tenant. It may be broken off anywhere, and two processes may do it at once."""

LOOK_EVERY = 1.0
"""Seconds; work that another process added is found after that at the latest (times the time scale)."""

SHORTEST_WAIT = 0.05

AFTER_FAILURE = 5.0
"""Seconds until a visit that broke off is made again (times the time scale)."""


class Rounds:
    """The job of a step: each call is one round, which starts visits but does not wait for their end. Holds
    the visits of one process and belongs to one event loop.

    A process that is told to stop finishes the visits that it has begun, unless they are `long`: those are
    broken off, and another process begins them anew once the lease is over."""

    def __init__(self, kind: Kind, visit: Visit, *, lease: float = 30.0, long: bool = False) -> None:
        self._kind: Kind = kind
        self._visit = visit
        self._lease = lease
        self._long = long
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, worker: Worker) -> None:
        try:
            await self.begin(worker)
            await worker.wake(await self.wait(worker))
        except asyncio.CancelledError:
            await self.break_off()
            raise

    async def begin(self, worker: Worker) -> None:
        """Starts a visit to every tenant that is due, as far as there is room."""
        room = worker.visits - len(self._running)
        if room <= 0:
            return
        async with worker.database.transaction(name=f"rounds.{self._kind}.claim") as connection:
            tenants = await due.claim(
                connection,
                self._kind,
                but=self._running,
                limit=room,
                lease=self._lease * worker.time_scale,
            )
        for tenant_id in tenants:
            task = asyncio.create_task(self._guarded(worker, tenant_id))
            self._running[tenant_id] = task
            task.add_done_callback(partial(self._forget, tenant_id))

    def _forget(self, tenant_id: str, _task: asyncio.Task[None]) -> None:
        del self._running[tenant_id]

    async def ended(self) -> None:
        """Returns when the visits under way have ended."""
        if self._long:
            await self.break_off()
        else:
            await self._all_over()

    async def _all_over(self) -> None:
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def wait(self, worker: Worker) -> float:
        """Seconds until the next tenant may be due."""
        async with worker.database.transaction(name=f"rounds.{self._kind}.wait") as connection:
            until = await due.until_next(connection, self._kind, but=self._running)
        longest = LOOK_EVERY * worker.time_scale
        return max(SHORTEST_WAIT, longest if until is None else min(until, longest))

    async def _guarded(self, worker: Worker, tenant_id: str) -> None:
        try:
            await self._visit(worker, tenant_id)
        except Exception as error:  # noqa: BLE001 - a bug met with one tenant must not stop the others' work
            log.warning("visit_failed", kind=self._kind, tenant=tenant_id, **logs.fault(error))
            # The database may be away; then the lease ends by itself.
            database = worker.database
            with suppress(*TROUBLE):
                async with database.transaction(tenant_id, name=f"rounds.{self._kind}.failed") as connection:
                    within = AFTER_FAILURE * worker.time_scale
                    await due.again(connection, self._kind, tenant_id, within=within)

    async def break_off(self) -> None:
        for task in self._running.values():
            task.cancel()
        await self._all_over()


class SideBySide:
    """Rounds of several kinds as the one job of a step."""

    def __init__(self, *rounds: Rounds) -> None:
        self._rounds = rounds

    async def __call__(self, worker: Worker) -> None:
        try:
            for each in self._rounds:
                await each.begin(worker)
            await worker.wake(min([await each.wait(worker) for each in self._rounds]))
        except asyncio.CancelledError:
            for each in self._rounds:
                await each.break_off()
            raise

    async def ended(self) -> None:
        for each in self._rounds:
            await each.ended()
