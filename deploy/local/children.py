"""Processes of ours: apart from the terminal, started again when they die, stopped in order."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from deploy.local.services.private import Child
from deploy.local.services.processes import Account, Program

ANSWER_SECONDS = 45.0
GRACE_SECONDS = 25.0
POLL_SECONDS = 0.05
LINES_SHOWN = 15


class ProcessFailed(RuntimeError):
    """A process of the system did not start."""


@dataclass(slots=True)
class Children:
    logs: Path
    directory: Path
    environment: Mapping[str, str]
    running: dict[str, Child] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        http_port: int = 0,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        environment = {**self.environment, "LEADSAGA_HTTP_PORT": str(http_port), **(extra or {})}
        self.programs[name] = Program(
            name=name,
            command=[sys.executable, *arguments],
            directory=self.logs,
            environment={**environment, "PYTHONPATH": str(self.directory)},
            account=Account.current(),
        )
        self.running[name] = Child(self.programs[name])

    def restart(self, name: str) -> None:
        self.running[name] = Child(self.programs[name])

    async def once(self, name: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        """Runs a program to its end. Raises ProcessFailed with its last words."""
        self.start(name, arguments, extra=extra)
        child = self.running.pop(name)
        try:
            status = await child.result(ANSWER_SECONDS)
        finally:
            await child.end()
        if status != 0:
            raise ProcessFailed(self._last_words(name, f"ended with status {status}"))

    async def answers(self, name: str, url: str) -> None:
        """Returns when the process says that it is ready. Raises ProcessFailed with its last words."""
        async with httpx2.AsyncClient(timeout=5.0) as http:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    while not await self._ready(http, name, url):
                        await asyncio.sleep(POLL_SECONDS)
            except TimeoutError:
                raise ProcessFailed(self._last_words(name, "is not ready")) from None

    async def _ready(self, http: httpx2.AsyncClient, name: str, url: str) -> bool:
        if self.running[name].ended:
            raise ProcessFailed(self._last_words(name, "ended"))
        try:
            return (await http.get(url)).status_code == 200
        except httpx2.HTTPError:
            return False

    async def watch(self, say: Callable[[str], None]) -> None:
        """Starts again what dies, for ever."""
        while True:
            for name, child in list(self.running.items()):
                if child.ended:
                    say(f"{name} ended and is started again; see {self.programs[name].console}")
                    await child.end()
                    self.restart(name)
            await asyncio.sleep(0.5)

    async def kill(self, name: str) -> None:
        """SIGKILL, and gone when this returns."""
        await self.running[name].end()

    async def stop(self) -> None:
        """Steps first, so that what they answer is still heard; all of one kind together."""
        children = list(self.running.values())
        self.running.clear()
        await asyncio.gather(*(child.end(signal.SIGTERM, GRACE_SECONDS) for child in children))

    def _last_words(self, name: str, what: str) -> str:
        console = self.programs[name].console
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
        return "\n".join([f"{name} {what}:", *(f"  {line}" for line in lines)])
