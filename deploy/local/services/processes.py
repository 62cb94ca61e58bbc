"""Child processes that leave nothing behind: apart from the terminal, tied to this process, ended whole."""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.services import launch

POLL_SECONDS = 0.03
KILL_SECONDS = 10.0  # what the kernel may need to clear a killed process away on a busy machine


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for as long as it lives: the kernel may give its number to another one afterwards."""

    pid: int
    started: int  # clock ticks since the machine's start

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """None for a process that is gone, or a zombie: nothing of it runs any more."""
        try:
            fields = (
                Path(f"/proc/{pid}/stat")
                .read_text(encoding="utf-8", errors="replace")
                .rpartition(")")[2]
                .split()
            )
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def lives(self) -> bool:
        return Identity.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        if self.lives():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    @classmethod
    def current(cls) -> "Account":
        return cls(os.getuid(), os.getgid())

    @classmethod
    def for_server(cls, *names: str) -> "Account":
        """Our own; for root the first of these that exists, because servers do not run as root."""
        if os.getuid() != 0:
            return cls.current()
        for name in (*names, "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        return cls(65534, 65534)


@dataclass(frozen=True, slots=True)
class Program:
    """One server program: what to run, where, and as whom."""

    name: str  # also names its PID file and its console log
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    account: Account
    death_signal: signal.Signals = signal.SIGKILL  # sent by the kernel when this process ends

    @property
    def pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @property
    def console(self) -> Path:
        return self.directory / f"{self.name}.console.log"


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Starts the program in a session of its own, so that the terminal's Ctrl-C does not reach it.

    To be called in the main thread: the kernel takes the end of the calling thread for the end of the parent.
    """
    account = program.account
    shim = [sys.executable, "-I", "-S", launch.__file__]
    facts = [os.getpid(), int(program.death_signal), account.uid, account.gid, program.pid_file]
    with program.console.open("ab") as console:
        return subprocess.Popen(
            [*shim, *map(str, facts), *program.command],
            cwd=program.directory,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )


def family(root: Identity) -> list[Identity]:
    """The process and everything it started, whatever process group they chose."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (
                    (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ends = [root], [root.pid]
    while open_ends:
        children = parents.get(open_ends.pop(), [])
        found += [child for child in map(Identity.of, children) if child]
        open_ends += children
    return found


def kill_now(root: Identity) -> list[Identity]:
    """SIGKILL to the whole family, at once and without waiting. Returns who was hit."""
    members = family(root) if root.lives() else []
    for member in members:
        member.signal(signal.SIGKILL)
    return members


async def gone(members: Sequence[Identity], seconds: float) -> bool:
    """Whether all of them ended within that time."""
    deadline = time.monotonic() + seconds
    while any(member.lives() for member in members):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def end(root: Identity, gently: signal.Signals | None, grace: float) -> None:
    """Returns when the process and all it started are gone: asked by `gently`, killed after `grace` seconds.

    An interruption while waiting kills at once, so nothing is left in that case either.
    """
    members = family(root) if root.lives() else []
    try:
        if gently is not None and members:
            root.signal(gently)
            if await gone(members, grace):
                return
    finally:
        kill_now(root)
        for member in members:
            member.signal(signal.SIGKILL)
    await gone(members, KILL_SECONDS)


async def end_leftover(program: Program, gently: signal.Signals | None, grace: float) -> None:
    """Ends what an earlier run left running in this directory, by the PID file it wrote."""
    try:
        pid = int(program.pid_file.read_text(encoding="ascii"))
        written = program.pid_file.stat().st_mtime
    except (FileNotFoundError, ValueError):
        return
    found = Identity.of(pid)
    if found is not None and _began(found) <= written + 1:
        await end(found, gently, grace)
    program.pid_file.unlink(missing_ok=True)


def _began(process: Identity) -> float:
    """In seconds since the epoch. A process that got a number later began after the file was written."""
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return time.time() - uptime + process.started / os.sysconf("SC_CLK_TCK")
