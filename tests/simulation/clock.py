"""Time that passes only when nothing else can happen: it jumps to the next timer."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


MOST_TURNS = 500_000
"""Of the loop, in one history. Some hundreds to some thousands are usual."""


class Stuck(Exception):
    """A history that does not end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without files, threads or a clock of its own. The same work in the same order, always."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._selector = self  # asked by the base class for files that are ready, and how long to wait

    def time(self) -> float:
        return self._now

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._now)

    def select(self, timeout: float | None) -> tuple[()]:
        self._turns += 1
        if timeout is None:
            raise Stuck("everything waits for something that nobody is going to do")
        if self._turns > MOST_TURNS:
            raise Stuck("something goes round and round")
        self._now += timeout
        return ()

    def _process_events(self, _files: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(work: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Runs to the end of `work`; what else is under way then is broken off."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        with suppress(Stuck):
            loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
