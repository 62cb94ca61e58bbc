"""What private servers of either kind have in common."""

import os
import secrets
import signal
import stat
import subprocess
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from deploy.local.services.errors import DirectoryUnreachable, ServerFailed
from deploy.local.services.processes import POLL_SECONDS, Account, Identity, Program, end, kill_now, spawn

LOG_LINES_SHOWN = 8


class PrivateServer(Protocol):
    """A server on the loopback address that belongs to one data directory.

    Each call returns when its effect is complete: `start` when it answers, `stop` and `kill` (SIGKILL)
    when no process of it is left. Then it starts again on the same data, password and ports; the ports change
    only if another program has taken one meanwhile, so read `url` again.
    """

    @property
    def url(self) -> str: ...
    @property
    def source(self) -> str: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...


class Child:
    """One running program, and the only one to wait for its end."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._popen = spawn(program)
        self._identity = Identity.of(self._popen.pid) or Identity(self._popen.pid, 0)

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    @property
    def pid(self) -> int:
        return self._identity.pid

    async def result(self, seconds: float) -> int:
        """The exit status, for programs that end by themselves."""
        deadline = time.monotonic() + seconds
        while not self.ended:
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.program.name} did not end within {seconds:.0f} s")
            await sleep(POLL_SECONDS)
        return self._popen.returncode

    async def end(self, gently: signal.Signals | None = None, grace: float = 0) -> None:
        try:
            await end(self._identity, gently, grace)
        finally:
            self._reap()

    def kill_now(self) -> None:
        """Does not wait for the end, for when there is no time left."""
        kill_now(self._identity)

    def _reap(self) -> None:
        try:
            self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return  # still dying: the PID file stays, for the next start to look at
        self.program.pid_file.unlink(missing_ok=True)

    def failure(self) -> ServerFailed:
        lines = self.program.console.read_text(encoding="utf-8", errors="replace").splitlines()
        shown = "\n  ".join(lines[-LOG_LINES_SHOWN:])
        return ServerFailed(
            f"{self.program.name} ended with status {self._popen.poll()}; it said:\n  {shown}"
        )


async def until_ready(
    children: Sequence[Child], answers: Callable[[], Awaitable[bool]], seconds: float
) -> None:
    """Returns as soon as `answers` says so. Raises ServerFailed when a child ends first or the time is up."""
    deadline = time.monotonic() + seconds
    while not await answers():
        for child in children:
            if child.ended:
                raise child.failure()
        if time.monotonic() > deadline:
            raise ServerFailed(f"{children[-1].program.name} did not answer within {seconds:.0f} s")
        await sleep(POLL_SECONDS)


def own(directory: Path, account: Account) -> None:
    """Makes the directory the account's alone, reachable for it. Raises DirectoryUnreachable."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account == Account.current():
        return
    directory.parent.chmod(0o711)  # to pass through, not to look into
    for ancestor in directory.parents:
        if not _may_enter(ancestor, account):
            raise DirectoryUnreachable(
                f"Servers do not run as root, and the account they run as cannot enter {ancestor}:"
                f" choose a data directory elsewhere, for example below /var/lib, or run as an ordinary user"
            )
    os.chown(directory, account.uid, account.gid)


def _may_enter(directory: Path, account: Account) -> bool:
    status = directory.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def private_file(file: Path, text: str, account: Account) -> None:
    """Writes a file that only the account (and root) can read; whole or not at all."""
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    if account != Account.current():
        os.chown(unfinished, account.uid, account.gid)
    unfinished.rename(file)


def password_in(directory: Path, account: Account) -> str:
    """The server's password, made on first use and kept beside its data."""
    file = directory / "password"
    if not file.exists():
        private_file(file, secrets.token_hex(24), account)
    return file.read_text(encoding="ascii")
