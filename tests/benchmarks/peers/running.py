"""The processes of one peer: its workers, and the load that waits for them and reports what it finds."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.services.private import Child
from deploy.local.services.processes import Account, Program
from tests.benchmarks.peers.environment import python
from tests.benchmarks.peers.roster import Peer
from tests.kit.sandbox import free_port
from tests.kit.system import REPOSITORY

PATIENCE = 90.0
"""Seconds without a report until a peer is given up; what the load takes comes on top."""
GRACE = 10.0
LONGEST_REPORT = 2**20
LINES_SHOWN = 15


class PeerFailed(RuntimeError):
    """A peer did not do the work: what was measured of it in this round is void."""


@dataclass(frozen=True, slots=True)
class Running:
    peer: Peer
    directory: Path
    driver: Process
    workers: Mapping[str, Child]

    async def told(self, moment: str, seconds: float = 0.0) -> dict[str, Any]:
        """What the load reports next. Raises PeerFailed."""
        assert self.driver.stdout is not None
        try:
            async with asyncio.timeout(seconds + PATIENCE):
                told = json.loads(await self.driver.stdout.readline() or "{}")
        except TimeoutError:
            told = {}
        if told.get("moment") != moment:
            raise PeerFailed(f"it did not come to `{moment}`\n{self._last_words()}")
        return dict(told)

    def _last_words(self) -> str:
        return "\n".join(
            f"  {console.name}: {line}"
            for console in sorted(self.directory.glob("*.console.log"))
            for line in console.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
        )

    def python(self) -> list[int]:
        """PIDs of its Python; that is the load, too, if nobody else does the work."""
        of = [child.pid for name, child in self.workers.items() if name != self.peer.engine]
        return of or [self.driver.pid]

    def engine(self) -> list[int]:
        return [self.workers[self.peer.engine].pid]


@asynccontextmanager
async def running(peer: Peer, directory: Path, given: Mapping[str, str]) -> AsyncIterator[Running]:
    """All are gone afterwards."""
    filled = {"python": python(), "directory": str(directory)}
    filled |= {port: str(free_port()) for port in peer.ports}
    asked = {name: value.format(**filled) for name, value in peer.environment.items()}
    environment = {**os.environ, **given, **asked, "PYTHONPATH": str(REPOSITORY)}
    workers: dict[str, Child] = {}
    driver: Process | None = None
    try:
        for name, command in peer.workers.items():
            words = [word.format(**filled) for word in command.split()]
            workers[name] = Child(Program(name, words, directory, environment, Account.current()))
        with (directory / "load.console.log").open("wb") as console:
            driver = await asyncio.create_subprocess_exec(
                *(python(), "-m", peer.module),
                stdout=PIPE,
                stderr=console,
                env=environment,
                limit=LONGEST_REPORT,
            )
        yield Running(peer, directory, driver, workers)
    finally:
        if driver is not None and driver.returncode is None:
            driver.kill()
            await driver.wait()
        await asyncio.gather(*(child.end(signal.SIGTERM, GRACE) for child in workers.values()))
