"""Starts our programs in a fraction of the time: by forks of a process that has imported everything.

A fork is the program itself: a process with an environment, a console and signals of its own. It dies with
its zygote, the zygote with whoever asked for it, and their mother, who imports once for a whole run, with the
tests.
"""

import asyncio
import atexit
import ctypes
import gc
import importlib
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from deploy.local.children import Children
from deploy.local.services.processes import Account, Program

REPOSITORY = Path(__file__).parents[2]
IMPORTS = (
    *("orchestrator.__main__", "orchestrator.app", "steps.__main__", "steps.runtime.process", "uvicorn"),
    "tests.kit.killable",
)
KILL_SECONDS = 10.0
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Forked:
    """One running program. Has what `deploy.local.services.private.Child` has for `Children`."""

    born: "asyncio.Future[int]"
    status: "asyncio.Future[int]"

    @property
    def ended(self) -> bool:
        return self.status.done()

    async def result(self, seconds: float) -> int:
        """Its exit status; that of one killed by a signal is the signal's number, negative."""
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self.status)

    async def tell(self, number: signal.Signals) -> None:
        pid = await asyncio.shield(self.born)
        if not self.ended:
            with suppress(ProcessLookupError):  # its end is not told yet
                os.kill(pid, number)

    async def end(self, gently: signal.Signals | None = None, grace: float = 0) -> None:
        """Gone when this returns: asked by `gently`, killed after `grace` seconds."""
        for number, seconds in ((gently, grace), (signal.SIGKILL, KILL_SECONDS)):
            if number is not None and not self.ended:
                await self.tell(number)
                with suppress(TimeoutError):
                    await self.result(seconds)
        assert self.ended


@dataclass(slots=True)
class Zygote:
    orders: asyncio.StreamWriter
    told: asyncio.StreamReader
    forked: dict[int, Forked] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], console: Path) -> Forked:
        """`arguments` as for the interpreter: `-m`, a module or package of IMPORTS, and what its `main` is
        given."""
        loop, number = asyncio.get_running_loop(), next(self.numbers)
        self.forked[number] = Forked(loop.create_future(), loop.create_future())
        order = {
            "number": number,
            "arguments": list(arguments),
            "environment": dict(environment),
            "console": str(console),
        }
        self.orders.write(json.dumps(order).encode() + b"\n")
        return self.forked[number]

    async def listen(self) -> None:
        async for line in self.told:
            told = json.loads(line)
            forked = self.forked[told["number"]]
            if "pid" in told:
                forked.born.set_result(told["pid"])
            else:
                forked.status.set_result(told["status"])


@asynccontextmanager
async def zygote() -> AsyncIterator[Zygote]:
    told, orders = await asyncio.open_unix_connection(mother())
    alive = Zygote(orders, told)
    listening = asyncio.create_task(alive.listen())
    try:
        yield alive
    finally:
        orders.write_eof()  # it ends, and everything that it has forked
        await listening
        orders.close()
        await orders.wait_closed()


@cache
def mother() -> Path:
    """Where she listens. There is one for each process that runs tests."""
    directory = tempfile.TemporaryDirectory(prefix="zygote-")
    address = Path(directory.name) / "socket"
    # What is forked ends in a hurry: there is no coverage to be had from it, only time to be lost.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.zygote", str(address)],
        cwd=REPOSITORY,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert b"ready\n" == process.stdout.readline()

    def end() -> None:
        process.communicate()  # she ends when nothing more can be said to her
        directory.cleanup()

    atexit.register(end)
    return address


@dataclass(slots=True)
class ForkedChildren(Children):
    """Children whose programs are forked by a zygote."""

    zygote: Zygote | None = None

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
            command=list(arguments),
            directory=self.logs,
            environment=environment,
            account=Account.current(),
        )
        self.restart(name)

    def restart(self, name: str, extra: Mapping[str, str] | None = None) -> None:
        """`extra`: environment of this run only."""
        assert self.zygote is not None
        program = self.programs[name]
        environment = {**program.environment, **(extra or {})}
        forked: Any = self.zygote.start(program.command, environment, program.console)
        self.running[name] = forked


def bear(address: Path) -> None:
    """Forks a zygote for each connection, until the standard input ends."""
    for module in IMPORTS:
        importlib.import_module(module)
    from steps import catalogue  # noqa: PLC0415 - only here, where it is forked

    for name in catalogue.names():
        catalogue.find(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as selector:
        listening.bind(str(address))
        listening.listen()
        selector.register(0, selectors.EVENT_READ)
        selector.register(listening, selectors.EVENT_READ)
        os.write(1, b"ready\n")
        while 0 not in {key.fd for key, _ in selector.select()}:
            connection, _ = listening.accept()
            if os.fork() == 0:
                _die_with_parent()
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                for opened in (connection, listening, selector):
                    opened.close()
                serve()
                os._exit(0)
            connection.close()


def serve() -> None:
    """Forks to order until the standard input ends."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    numbers: dict[int, int] = {}
    begun = b""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if 0 in ready:
            # Not through a buffer: what lies in one wakes nobody.
            read = os.read(0, 65_536)
            if not read:
                break
            *lines, begun = (begun + read).split(b"\n")
            for order in map(json.loads, lines):
                pid = os.fork()
                if pid == 0:
                    _become(order, [woken, wakes])
                numbers[pid] = order["number"]
                _tell(number=order["number"], pid=pid)
        if woken in ready:
            os.read(woken, 1000)
        _reap(numbers)


def _reap(numbers: dict[int, int]) -> None:
    while numbers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _tell(number=numbers.pop(pid), status=os.waitstatus_to_exitcode(status))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _become(order: dict[str, Any], ours: Sequence[int]) -> None:
    _die_with_parent()
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in ours:
        os.close(descriptor)
    console = os.open(order["console"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (console, 1), (console, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    flag, package, *arguments = order["arguments"]
    assert flag == "-m"
    code = 1
    try:
        program = sys.modules.get(f"{package}.__main__") or sys.modules[package]
        code = program.main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(**facts: int) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    bear(Path(sys.argv[1]))
