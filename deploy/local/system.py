"""The whole system on one machine: services, sandbox vendors, the orchestrator, each step its own process."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import asyncpg

from deploy.local.children import Children
from deploy.local.place import ROLES, remembered_key, remembered_secrets
from deploy.local.services import Services, services
from deploy.local.services.ports import LOOPBACK, remembered
from deploy.local.vendors import Vendors
from steps import catalogue

REPOSITORY = Path(__file__).parents[2]
DATABASE = "leadsaga"


@dataclass(frozen=True, slots=True)
class System:
    """Everything runs. `environment` is what each process was given, and what the operators' tool needs."""

    services: Services
    environment: dict[str, str] = field(repr=False)
    ports: dict[str, int]
    sandbox: str
    vendors: Vendors
    children: Children

    def urls(self) -> list[str]:
        lines = [*self.services.sources, *self.vendors.lines(self.sandbox)]
        for name, port in self.ports.items():
            if name != "sandbox":
                lines.append(f"{name}: http://{LOOPBACK}:{port}/ready  /live  /metrics")
        return lines


@asynccontextmanager
async def running(
    directory: Path, *, durable: bool, time_scale: float, throw_away: bool, say: Callable[[str], None]
) -> AsyncIterator[System]:
    """`throw_away`: with services that are given by URL, use a database and queues of this run only."""
    directory.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(services(directory / "services", durable=durable, say=say))
        database = await stack.enter_async_context(_database(found.database_url, throw_away=throw_away))
        names = ("sandbox", "orchestrator", *catalogue.names())
        ports = remembered(directory / "ports.json", names)
        sandbox = f"http://{LOOPBACK}:{ports['sandbox']}"
        vendors = Vendors.of(os.environ)
        environment = {
            **_environment(found, database, remembered_secrets(directory)),
            **vendors.settings(sandbox, time_scale),
            "LEADSAGA_SECRETS_KEY": remembered_key(directory),
            "LEADSAGA_TIME_SCALE": f"{time_scale:g}",
            "LEADSAGA_QUEUE_PREFIX": _prefix(found, throw_away=throw_away),
        }
        children = await stack.enter_async_context(_children(directory, environment))
        await children.once("migrate", ["-m", "orchestrator", "migrate"])
        await _start(children, ports, directory)
        yield System(found, environment, ports, sandbox, vendors, children)


@asynccontextmanager
async def _children(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Children]:
    logs = directory / "logs"
    logs.mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LEADSAGA_")}
    kept = {name: os.environ[name] for name in os.environ if name.startswith("LEADSAGA_")}
    children = Children(logs, REPOSITORY, {**inherited, **kept, **environment})
    try:
        yield children
    finally:
        await children.stop()


async def _start(children: Children, ports: Mapping[str, int], directory: Path) -> None:
    sandbox = ["-m", "deploy.sandbox", "--port", str(ports["sandbox"]), "--data"]
    children.start("sandbox", [*sandbox, str(directory / "sandbox")])
    await children.answers("sandbox", f"http://{LOOPBACK}:{ports['sandbox']}/healthz")
    children.start("orchestrator", ["-m", "orchestrator", "run", "orchestrator"], ports["orchestrator"])
    for name in catalogue.names():
        children.start(name, ["-m", "steps", name], ports[name])
    await asyncio.gather(
        *(
            children.answers(name, f"http://{LOOPBACK}:{ports[name]}/ready")
            for name in ("orchestrator", *catalogue.names())
        )
    )


def _environment(found: Services, database: str, passwords: Mapping[str, str]) -> dict[str, str]:
    given = {"LEADSAGA_DATABASE_URL": database, "LEADSAGA_AMQP_URL": found.amqp_url}
    for name in ROLES:
        role = f"leadsaga_{name}"
        own = found.postgres is not None
        url = _login(database, role, passwords[name]) if own else _acting(database, role)
        given[f"LEADSAGA_{name.upper()}_URL"] = url
    return given


def _login(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password)}@{address}"))


def _acting(url: str, role: str) -> str:
    """With the given login, but only the rights of the role. Roles belong to the whole cluster: to set their
    passwords on a cluster that is not ours would lock others out."""
    return urlunsplit(urlsplit(url)._replace(query=urlencode({"role": role})))


def _prefix(found: Services, *, throw_away: bool) -> str:
    shared = found.rabbitmq is None
    return f"demo{secrets.token_hex(3)}." if shared and throw_away else ""


@asynccontextmanager
async def _database(admin_url: str, *, throw_away: bool) -> AsyncIterator[str]:
    name = f"{DATABASE}_{secrets.token_hex(4)}" if throw_away else DATABASE
    admin = await asyncpg.connect(admin_url)
    try:
        if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await admin.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
    finally:
        await admin.close()
        if throw_away:
            await _drop(admin_url, name)


async def _drop(admin_url: str, name: str) -> None:
    try:
        admin = await asyncpg.connect(admin_url, timeout=5)
    except (OSError, asyncpg.PostgresError):
        return  # a private server that is gone took its databases with it
    try:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()
