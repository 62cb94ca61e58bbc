"""Where benchmarks run: private services with their default durability, fresh databases, real processes."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aio_pika
import asyncpg

from contracts.names import REPLIES, REQUESTS, Names
from deploy.local.children import Children
from deploy.local.place import temporary
from deploy.local.services import Services, services
from tests.benchmarks import noop
from tests.benchmarks.cpu import Meter, Pids, memory_mb, pid_in
from tests.kit.database import cloned, make_template, named
from tests.kit.sandbox import free_port
from tests.kit.system import REPOSITORY, environment_of

NOBODY = "http://127.0.0.1:9"
"""In place of vendors that are not called."""

PLAN = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('bench', 1, 'eur', 2000000000)
"""
TENANTS = """
INSERT INTO tenants (tenant_id, name, plan_id, sagas_in_flight, model_calls)
SELECT tenant_id, tenant_id, 'bench', 1000000, 1000000 FROM unnest($1::text[]) AS tenant_id
"""

Program = Sequence[str]
Programs = Mapping[str, Program]
"""Arguments for the interpreter, by the name of the process."""


def noop_programs(steps: Iterable[Iterable[str]] | None = None) -> dict[str, Program]:
    """The orchestrator, and a process for each group of steps; for each step if no groups are given."""
    run = ("-m", "tests.benchmarks.noop")
    groups = [[name] for name in noop.STEPS] if steps is None else [list(group) for group in steps]
    return {
        "orchestrator": [*run, "orchestrator"],
        **{"+".join(group): [*run, *group] for group in groups},
    }


@dataclass(slots=True)
class Running:
    """Processes of the system on a database and queues of their own."""

    children: Children
    prefix: str
    database_url: str
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, programs: Programs) -> None:
        for name, program in programs.items():
            self.ports[name] = free_port()
            self.children.start(name, program, self.ports[name])

    async def ready(self) -> None:
        answers = self.children.answers
        await asyncio.gather(
            *(answers(name, f"http://127.0.0.1:{port}/ready") for name, port in self.ports.items())
        )

    async def kill(self) -> None:
        """SIGKILL to all of them at once; gone when this returns."""
        for child in self.children.running.values():
            child.kill_now()
        await asyncio.gather(*map(self.children.kill, list(self.children.running)))

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children.running.values()]

    def memory(self) -> dict[str, float]:
        resident = {name: memory_mb([child.pid]) for name, child in self.children.running.items()}
        engine = resident.pop("orchestrator", 0.0)
        return {"orchestrator MB": engine, "steps MB": sum(resident.values())}


@dataclass(frozen=True, slots=True)
class Stage:
    services: Services
    directory: Path
    template: str
    say: Callable[[str], None]

    @property
    def amqp_url(self) -> str:
        assert self.services.rabbitmq is not None
        return self.services.rabbitmq.url

    @property
    def admin_url(self) -> str:
        assert self.services.postgres is not None
        return self.services.postgres.url

    def meter(self, python: Pids, **more: Pids) -> Meter:
        return Meter(
            {
                "python": python,
                "broker": partial(self._server, "rabbitmq"),
                "database": partial(self._server, "postgres"),
                **more,
            }
        )

    def _server(self, name: str) -> list[int]:
        return [pid_in(self.directory / "services" / name / f"{name}.pid")]

    def broker_memory(self) -> dict[str, float]:
        return {"broker MB": memory_mb(self._server("rabbitmq"))}

    @asynccontextmanager
    async def database(self, tenants: Sequence[str] = ()) -> AsyncIterator[str]:
        """A fresh one, with these tenants; gone afterwards."""
        async with cloned(self.admin_url, self.template) as url:
            connection = await asyncpg.connect(url, server_settings={"search_path": "leadsaga"})
            await connection.execute(PLAN)
            await connection.execute(TENANTS, list(tenants))
            await connection.close()
            yield url

    @asynccontextmanager
    async def running(
        self,
        database_url: str,
        programs: Programs,
        settings: Mapping[str, str] | None = None,
        *,
        sandbox_url: str = NOBODY,
        queues: Sequence[str] = tuple(noop.NOOP.queues()),
    ) -> AsyncIterator[Running]:
        """Everything is ready. Queues are of this run only, and gone afterwards."""
        prefix = f"b{secrets.token_hex(4)}."
        given = environment_of(database_url, self.amqp_url, prefix, sandbox_url)
        environment = {**given, "LEADSAGA_TIME_SCALE": "1", **(settings or {})}
        logs = self.directory / f"logs-{prefix}"
        logs.mkdir()
        running = Running(Children(logs, REPOSITORY, environment), prefix, database_url)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._forget, prefix, queues)
            stack.push_async_callback(running.children.stop)
            running.start(programs)
            await running.ready()
            yield running

    async def _forget(self, prefix: str, queues: Sequence[str]) -> None:
        names = Names(prefix)
        connection = await aio_pika.connect(self.amqp_url)
        async with connection, connection.channel() as channel:
            for queue in (REQUESTS, REPLIES, *queues):
                await channel.queue_delete(names.queue(queue))
                await channel.queue_delete(names.dead_queue(queue))


@asynccontextmanager
async def prepared(say: Callable[[str], None]) -> AsyncIterator[Stage]:
    """Services of this run alone, as durable as their makers set them."""
    private = {**os.environ, "LEADSAGA_SERVICES": "private"}
    private.pop("LEADSAGA_DATABASE_URL", None)
    private.pop("LEADSAGA_AMQP_URL", None)
    with temporary() as directory:
        async with services(directory / "services", durable=True, environment=private, say=say) as found:
            template = await make_template(found.database_url)
            connection = await asyncpg.connect(named(found.database_url, template))
            await connection.execute(noop.SCHEMA)
            await connection.close()
            yield Stage(found, directory, template, say)
