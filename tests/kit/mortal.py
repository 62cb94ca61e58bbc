"""A system of a test's own, whose processes may die: forked, so that to start one again takes no time."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.kit.broker import own_prefix
from tests.kit.database import cloned
from tests.kit.history.check import check
from tests.kit.history.quiet import under_way, unended
from tests.kit.history.read import read_history
from tests.kit.history.upstream import heard_event
from tests.kit.sandbox import running_sandbox, until
from tests.kit.system import TIME_SCALE, RunningSystem, running_system
from tests.kit.zygote import ForkedChildren, zygote

LATE = 90.0
"""Seconds within which all ends, whatever died. A command that a timer called for is sent again when its
answer is late, should its process have died before it was published: 67 s later, if it asks the model."""


@dataclass(frozen=True, slots=True)
class Mortal:
    """`database_url` is a superuser's, `sandbox` the sandbox's directory."""

    system: RunningSystem
    database_url: str
    sandbox: Path


@asynccontextmanager
async def own_system(
    admin_url: str,
    template: str,
    amqp_url: str,
    directory: Path,
    settings: Mapping[str, str] | None = None,
    *,
    apart: bool = False,
) -> AsyncIterator[Mortal]:
    """On a database, queues and a sandbox of its own. Each step in a process of its own if they are to be
    `apart`."""
    sandbox = directory / "sandbox"
    async with (
        zygote() as forks,
        cloned(admin_url, template) as database_url,
        own_prefix(amqp_url) as prefix,
        running_sandbox(sandbox) as sandbox_url,
        running_system(
            *(database_url, amqp_url, prefix, sandbox_url, directory),
            settings=settings,
            apart=apart,
            make_children=partial(ForkedChildren, zygote=forks),
        ) as system,
    ):
        yield Mortal(system, database_url, sandbox)


async def verdict(mortal: Mortal) -> list[str]:
    """Once nothing is under way any more: every promise that was not kept."""
    system = mortal.system

    async def quiet() -> bool:
        return not await under_way(system.sql)

    try:
        await until(quiet, LATE)
    except TimeoutError:
        left = [f"it never ended: {count} {name}" for name, count in (await under_way(system.sql)).items()]
        return [*left, *await unended(system.sql)]
    heard = [heard_event(event.model_dump_json().encode()) for event in system.upstream.heard]
    history = await read_history(mortal.database_url, mortal.sandbox, time_scale=TIME_SCALE, heard=heard)
    return [str(violation) for violation in check(history)]
