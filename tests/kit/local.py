"""`make demo` and `make up` as a person runs them: programs of their own, with their own services."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.sandbox import REPOSITORY


@dataclass(slots=True)
class Program:
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def says(self, part: str) -> str:
        """The next line that contains the part. Raises EOFError when the program ends without it."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.lines.append(line.rstrip())
            if part in line:
                return line.rstrip()
        raise EOFError(f"it ended without saying {part!r}:\n" + "\n".join(self.lines[-20:]))

    async def ends(self) -> int:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.lines.append(line.rstrip())
        return await self.process.wait()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


@asynccontextmanager
async def reachable_directory() -> AsyncIterator[Path]:
    """For servers that do not run as root; with a name that nothing else on the machine has."""
    directory = Path("/tmp") / f"leadsaga-test-{secrets.token_hex(6)}"
    directory.mkdir(mode=0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def program(
    directory: Path, *arguments: str, module: str = "deploy.local", **extra: str
) -> AsyncIterator[Program]:
    """Runs `python -m deploy.local ...` with private services and all its files below `directory`."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LEADSAGA_", "ANTHROPIC_", "STRIPE_", "COV_", "COVERAGE_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=REPOSITORY,
        env={**environment, "TMPDIR": str(directory), "LEADSAGA_SERVICES": "private", **extra},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def processes_of(directory: Path) -> list[str]:
    """Command lines of living processes that were started with anything below the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or entry.name == str(os.getpid()):
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace")[:120])
    return found
