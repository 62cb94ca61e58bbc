"""Whose attempt is next: the places of a process, shared fairly by the tenants whose commands it has taken.

A queue of the broker is one line for all tenants. So a process takes more commands than it runs, and a tenant
with many of them waits behind itself only: who has the fewest attempts under way is next, and nobody has all
places, so that there is nearly always one for who comes anew.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AHEAD = 8
"""Commands that are taken for each place. All that waits beyond them is one line."""


class Turns:
    def __init__(self, places: int) -> None:
        self._places = places
        self._share = max(1, places - max(1, places // 4))
        self._running: Counter[str] = Counter()
        # Tenants in the order in which they came to wait; each has somebody who waits.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._closed = False

    @asynccontextmanager
    async def take(self, tenant_id: str) -> AsyncIterator[None]:
        """Raises CancelledError when the process stops before the turn has come."""
        await self._turn(tenant_id)
        try:
            yield
        finally:
            self._running[tenant_id] -= 1
            self._running += Counter()  # tenants without attempts are forgotten
            self._next()

    def close(self) -> None:
        """What has no turn yet gets none any more: it is left to another process."""
        self._closed = True
        for line in self._waiting.values():
            for turn in line:
                turn.cancel()
        self._waiting.clear()

    async def _turn(self, tenant_id: str) -> None:
        if self._closed:
            raise asyncio.CancelledError
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._running[tenant_id] -= 1  # it had just been given
                self._next()
            else:
                self._leave(tenant_id, turn)
            raise

    def _leave(self, tenant_id: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(tenant_id)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[tenant_id]

    def _next(self) -> None:
        while self._running.total() < self._places:
            may = [tenant for tenant in self._waiting if self._running[tenant] < self._share]
            if not may:
                return
            tenant = min(may, key=self._running.__getitem__)  # of equals the first, who has waited longest
            line = self._waiting.pop(tenant)
            turn = line.popleft()
            if line:
                self._waiting[tenant] = line  # behind the others now
            if not turn.done():  # it may be cancelled, and not have woken yet
                self._running[tenant] += 1
                turn.set_result(None)
