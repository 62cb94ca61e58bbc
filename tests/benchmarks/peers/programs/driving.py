"""The load on a peer: sagas that follow each other closely, then sagas at a steady rate.

Runs on the interpreter of the peers' own environment, where our dependencies are not. What it measures
goes to its standard output, a JSON object a line.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TextIO

Saga = Callable[[str], Awaitable[object]]
"""Begins the saga that has this key. Returns when it has ended."""


def _reports() -> TextIO:
    """What libraries print goes where errors go, so that only reports are on the standard output."""
    kept = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return kept


@dataclass(slots=True)
class Drive:
    """`in_flight` in the closed loop; `rate` in sagas a second; times in seconds."""

    saga: Saga
    in_flight: int
    warm: float
    window: float
    rate: float
    open_loop: float
    ended: int = 0
    going: bool = True
    waits: list[float] = field(default_factory=list)
    _number: int = 0
    reports: TextIO = field(default_factory=_reports)

    async def whole(self) -> None:
        await self._next()
        self._tell("ready")
        await self._closed()
        await self._at_rate()
        self._tell("latency", waits=[round(each, 6) for each in self.waits])
        self._tell("ended", sagas=self.ended)

    async def _closed(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.in_flight):
                group.create_task(self._one_after_another())
            await asyncio.sleep(self.warm)
            self._tell("warm")
            before, began = self.ended, time.perf_counter()
            await asyncio.sleep(self.window)
            sagas, seconds = self.ended - before, time.perf_counter() - began
            self._tell("measured", sagas=sagas, seconds=seconds)
            self.going = False

    async def _one_after_another(self) -> None:
        while self.going:
            await self._next()

    async def _at_rate(self) -> None:
        """Evenly, however long the answers take. What is late counts from when it was due."""
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(self.rate * self.open_loop)):
                due = begin + number / self.rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._timed(f"due-{number}", due))

    async def _timed(self, key: str, due: float) -> None:
        await self._next(key)
        self.waits.append(time.perf_counter() - due)

    async def _next(self, key: str | None = None) -> None:
        self._number += 1
        await self.saga(key or f"saga-{self._number}")
        self.ended += 1

    def _tell(self, moment: str, **found: object) -> None:
        self.reports.write(json.dumps({"moment": moment, **found}) + "\n")


async def drive(saga: Saga) -> None:
    await Drive(saga, **json.loads(os.environ["PEER_PLAN"])).whole()
