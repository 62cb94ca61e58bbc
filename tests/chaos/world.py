"""Everything that can be killed: two of each process of ours, the sandbox, RabbitMQ and Postgres."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx2

from contracts.names import Names
from deploy.local.children import Children
from deploy.local.services import PrivateServer, Services, services
from tests.kit.database import make_template, named
from tests.kit.sandbox import free_port
from tests.kit.system import REPOSITORY, environment_of

OURS = ("orchestrator-1", "orchestrator-2", "steps-1", "steps-2")
SANDBOX = "sandbox"
RABBITMQ = "rabbitmq"
POSTGRES = "postgres"
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.2

How = Literal["kill", "stop"]


class NotPrivate(RuntimeError):
    """Chaos kills its services, so they must be private ones."""


@dataclass(slots=True)
class World:
    services: Services
    children: Children
    ports: Mapping[str, int]
    http: httpx2.AsyncClient
    database_url: str = field(repr=False)
    """Of a superuser: row-level security does not apply."""
    names: Names = field(default_factory=Names)

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[SANDBOX]}"

    @property
    def amqp_url(self) -> str:
        return self._server(RABBITMQ).url

    def _server(self, name: str) -> PrivateServer:
        server = self.services.rabbitmq if name == RABBITMQ else self.services.postgres
        assert server is not None
        return server

    async def end(self, victim: str, how: How) -> None:
        """Gone when this returns: by SIGKILL, or asked to stop."""
        if victim in {RABBITMQ, POSTGRES}:
            server = self._server(victim)
            await (server.kill() if how == "kill" else server.stop())
        else:
            await self.children.running[victim].end(None if how == "kill" else signal.SIGTERM, STOP_SECONDS)

    async def start(self, victim: str) -> None:
        """Begun when this returns; a service answers already."""
        if victim in {RABBITMQ, POSTGRES}:
            await self._server(victim).start()
        else:
            self.children.restart(victim)

    async def answers(self, name: str) -> None:
        """Returns when it is ready for the first time. Raises ProcessFailed with its last words."""
        await self.children.answers(name, self._ready_url(name))

    async def ready(self, *names: str) -> None:
        """Returns when all of these, processes of ours or the sandbox, are ready to work."""
        while not await self.are_ready(*names):
            await asyncio.sleep(LOOK_SECONDS)

    async def are_ready(self, *names: str) -> bool:
        for name in names:
            try:
                answer = await self.http.get(self._ready_url(name))
            except httpx2.HTTPError:
                return False
            if not answer.is_success:
                return False
        return True

    async def tool(self, *arguments: str) -> str:
        """What the operators' tool says on standard output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", *arguments),
            cwd=REPOSITORY,
            env=self.children.environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        return said.decode()

    def died(self) -> list[str]:
        """Processes of ours that have ended, however that came about."""
        return [name for name in OURS if self.children.running[name].ended]

    def last_words(self, name: str) -> str:
        console = self.children.programs[name].console
        lines = console.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _ready_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/{'healthz' if name == SANDBOX else 'ready'}"


@asynccontextmanager
async def world(
    directory: Path, settings: Mapping[str, str], *, durable: bool, say: Callable[[str], None]
) -> AsyncIterator[World]:
    """Everything is ready, on services of its own; nothing of it is left afterwards. Raises NotPrivate."""
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(
            services(
                directory / "services",
                durable=durable,
                environment={"LEADSAGA_SERVICES": "private"},
                say=say,
            )
        )
        if found.rabbitmq is None or found.postgres is None:
            raise NotPrivate(str(NotPrivate.__doc__))
        template = await make_template(found.database_url)
        database_url = named(found.database_url, template)
        ports = {name: free_port() for name in (*OURS, SANDBOX)}
        sandbox_url = f"http://127.0.0.1:{ports[SANDBOX]}"
        logs = directory / "logs"
        logs.mkdir()
        inherited = environment_of(database_url, found.amqp_url, "", sandbox_url)
        environment = {
            **{name: value for name, value in inherited.items() if not name.startswith("COV")},
            # Who is started a hundred times must not compile everything each time.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
            **settings,
        }
        children = Children(logs, REPOSITORY, environment)
        stack.push_async_callback(children.stop)
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=2.0))
        here = World(found, children, ports, http, database_url)
        await _begin(here, directory)
        yield here


async def _begin(here: World, directory: Path) -> None:
    data = str(directory / "sandbox")
    port = str(here.ports[SANDBOX])
    here.children.start(SANDBOX, ["-m", "deploy.sandbox", "--port", port, "--data", data])
    await here.answers(SANDBOX)
    for name in OURS:
        kind = name.partition("-")[0]
        arguments = (
            ["-m", "steps", "--all"] if kind == "steps" else ["-m", "orchestrator", "run", "orchestrator"]
        )
        here.children.start(name, arguments, here.ports[name])
    await asyncio.gather(*map(here.answers, OURS))
