"""Processes that die as SIGKILL would have it: at an await, with nothing tidied up."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World

CURRENT: ContextVar["Process"] = ContextVar("process")
"""The process on whose behalf something runs."""


class Process:
    """Everything that it awaits of the outside world passes `point`: there it may die. Once it is dead,
    whatever its code still tries (it is cancelled, and may want to tidy up) is broken off before it has any
    effect."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.stopping = asyncio.Event()
        """Never set: the end of a process is told by its supervisor, from outside."""
        self.ends: list[Callable[[], None]] = []
        """Called at its death: what others notice of it."""
        self._tasks: list[asyncio.Task[Any]] = []
        self._context = copy_context()
        self._context.run(CURRENT.set, self)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        return self.world.loop.create_task(work, context=self._context)

    def keep(self, work: Callable[[], Coroutine[Any, Any, Any]], name: str) -> None:
        """Runs for as long as the process lives. That it ends by itself is a finding."""
        self.spawn(self._kept(work, name))

    async def _kept(self, work: Callable[[], Coroutine[Any, Any, Any]], name: str) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is
            if self.alive:
                self.world.finds("loops_never_end", f"{name} of {self.name} ended with {error!r}")
                self.kill(f"{name} ended")

    def owns(self, task: "asyncio.Task[Any]") -> None:
        if not self.alive:
            task.cancel()
            return
        if len(self._tasks) > 200:
            self._tasks = [each for each in self._tasks if not each.done()]
        self._tasks.append(task)

    def kill(self, where: str) -> None:
        if self.alive:
            self.world.trace.say(self.name, "DIES at", where)
            self.world.crashes += 1
            self.end()

    def end(self) -> None:
        self.alive = False
        for notice in self.ends:
            notice()
        for task in self._tasks:
            task.cancel()

    def check(self) -> None:
        if not self.alive:
            raise asyncio.CancelledError

    async def point(self, where: str) -> None:
        """A word with the outside world: it takes its time, and may be the last one."""
        self.check()
        seconds = self.world.lag()
        if seconds:
            await asyncio.sleep(seconds)
            self.check()
        self.perhaps_die(where)

    def perhaps_die(self, where: str) -> None:
        if self.world.strikes():
            self.kill(where)
            raise asyncio.CancelledError


def owned(loop: asyncio.AbstractEventLoop, work: Any, *, context: Any = None) -> "asyncio.Task[Any]":
    """A task factory: whatever a process begins dies with it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
    process = context.get(CURRENT) if context is not None else CURRENT.get(None)
    if process is not None:
        process.owns(task)
    return task
