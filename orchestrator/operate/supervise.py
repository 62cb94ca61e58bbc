"""Several programs as children of one: each that dies is started again, all stop together."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
HEALTHY_AFTER = 60.0
"""Seconds after which a program counts as healthy, so that its next death is its first again."""

BAD_SETTINGS = 78
"""A program that says so would only say it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    """Added to that of this process."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """`grace`: seconds that a program may take to stop before it is killed."""

    say: Callable[[str], None]
    stopping: asyncio.Event
    grace: float
    first_pause: float = FIRST_PAUSE
    code: int = 0

    async def run(self, programs: Sequence[Program]) -> int:
        """Runs until `stopping`, or until a program says that its settings are wrong. Returns the exit
        code."""
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self._keep(program))
        return self.code

    async def _keep(self, program: Program) -> None:
        pause = self.first_pause
        loop = asyncio.get_running_loop()
        while not self.stopping.is_set():
            began = loop.time()
            code = await self._once(program)
            if self.stopping.is_set():
                break
            if code == BAD_SETTINGS:
                self.say(f"{program.name}: wrong or missing settings; stopping everything")
                self.code = code
                self.stopping.set()
                break
            if loop.time() - began >= HEALTHY_AFTER:
                pause = self.first_pause
            self.say(f"{program.name}: ended with {code}; starting it again in {pause:g} s")
            await self._pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _once(self, program: Program) -> int:
        # In a session of its own, so that Ctrl-C reaches it once: through us.
        process = await asyncio.create_subprocess_exec(
            *program.arguments, env={**os.environ, **program.environment}, start_new_session=True
        )
        self.say(f"{program.name}: started, process {process.pid}")
        ended = asyncio.create_task(process.wait())
        told = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            await self._stop(process)
        return await ended

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        for number, patience in ((signal.SIGTERM, self.grace), (signal.SIGKILL, self.grace)):
            if process.returncode is not None:
                return
            process.send_signal(number)
            try:
                async with asyncio.timeout(patience):
                    await process.wait()
            except TimeoutError:
                continue

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            pass
