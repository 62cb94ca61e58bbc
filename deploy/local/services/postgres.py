"""A private Postgres from the binaries of this machine."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from deploy.local.services import ports
from deploy.local.services.answers import database_answers
from deploy.local.services.errors import ServerFailed
from deploy.local.services.private import Child, own, password_in, until_ready
from deploy.local.services.processes import Account, Program, end_leftover

ADMIN = "leadsaga_admin"
PORT_NAMES = ("postgres",)
START_SECONDS = 60.0  # recovery after a crash included
STOP_SECONDS = 20.0
START_ATTEMPTS = 3  # another program may take the port between our look and the start
# Losing the machine's power may lose everything under these. A killed server loses nothing committed,
# as it would under synchronous_commit=off: crash tests rely on it.
THROWAWAY_OPTIONS = ("fsync=off", "full_page_writes=off")


def find_postgres() -> Path | None:
    """The directory with `initdb` and `postgres`: the newest the distribution installed, else from PATH."""
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(packaged, key=lambda path: _number(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*newest_first, *([Path(on_path).resolve().parent] if on_path else [])]
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
            return directory
    return None


def _number(version: str) -> float:
    return float(version) if re.fullmatch(r"\d+(\.\d+)?", version) else 0


class PrivatePostgres:
    """`durable=False` gives up safety against a power failure for speed, not against a killed server."""

    def __init__(self, binaries: Path, directory: Path, *, durable: bool) -> None:
        self._binaries = binaries
        self._directory = directory / "postgres"
        self._durable = durable
        self._account = Account.for_server("postgres")
        self._child: Child | None = None
        self._port = 0
        self._password = ""

    @property
    def url(self) -> str:
        return f"postgresql://{ADMIN}:{self._password}@{ports.LOOPBACK}:{self._port}/postgres"

    @property
    def source(self) -> str:
        version = subprocess.run(
            [self._binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2]
        return (
            f"private instance of PostgreSQL {version} from {self._binaries}, {ports.LOOPBACK}:{self._port}"
        )

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    async def start(self) -> None:
        own(self._directory, self._account)
        await end_leftover(self._program("postgres", []), signal.SIGINT, STOP_SECONDS)
        self._password = password_in(self._directory, self._account)
        if not self._data.exists():
            await self._create()
        for attempt in range(1, START_ATTEMPTS + 1):
            self._port = ports.remembered(self._directory / "ports.json", PORT_NAMES)["postgres"]
            try:
                await self._serve()
            except ServerFailed:
                if attempt == START_ATTEMPTS:
                    raise
            else:
                return

    async def stop(self) -> None:
        await self._end(signal.SIGINT)  # "fast": sessions are cut off, the data is written

    async def kill(self) -> None:
        await self._end(None)

    async def _end(self, gently: signal.Signals | None) -> None:
        if self._child is not None:
            await self._child.end(gently, STOP_SECONDS)
            self._child = None

    async def _create(self) -> None:
        """Under another name first: an interrupted run does not leave half a data directory behind."""
        unfinished = self._directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        how = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={ADMIN}"]
        arguments = [*how, f"--pwfile={self._directory / 'password'}", f"--pgdata={unfinished}"]
        child = Child(self._program("initdb", [*arguments, *([] if self._durable else ["--no-sync"])]))
        try:
            if await child.result(START_SECONDS) != 0:
                raise child.failure()
        finally:
            await child.end()
        unfinished.rename(self._data)

    async def _serve(self) -> None:
        options = [
            f"listen_addresses={ports.LOOPBACK}",
            f"port={self._port}",
            "unix_socket_directories=",
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self._durable else THROWAWAY_OPTIONS),
        ]
        flags = [word for option in options for word in ("-c", option)]
        self._child = Child(self._program("postgres", ["-D", str(self._data), *flags]))
        try:
            await until_ready([self._child], self._answers, START_SECONDS)
        except BaseException:
            await self.kill()
            raise

    async def _answers(self) -> bool:
        return await database_answers(self.url)

    def _program(self, name: str, arguments: list[str]) -> Program:
        return Program(
            name=name,
            command=[str(self._binaries / name), *arguments],
            directory=self._directory,
            environment={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"},
            account=self._account,
            # Not SIGKILL: "immediate" shutdown is as quick and releases the shared memory.
            death_signal=signal.SIGQUIT if name == "postgres" else signal.SIGKILL,
        )
