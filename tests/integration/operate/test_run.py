"""The system's processes are started by name, each of them or all."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.operate.cli.system import step_names
from tests.kit.webhooks import SECRETS_KEY

NOBODY_LISTENS = "127.0.0.1:9"
SETTINGS = {
    "LEADSAGA_AMQP_URL": f"amqp://guest:guest@{NOBODY_LISTENS}/",
    "LEADSAGA_ENGINE_URL": f"postgresql://leadsaga_engine@{NOBODY_LISTENS}/x",
    "LEADSAGA_STEPS_URL": f"postgresql://leadsaga_steps@{NOBODY_LISTENS}/x",
    "LEADSAGA_STRIPE_BASE_URL": f"http://{NOBODY_LISTENS}",
    "LEADSAGA_ANTHROPIC_BASE_URL": f"http://{NOBODY_LISTENS}",
    "LEADSAGA_SECRETS_KEY": SECRETS_KEY,
    "LEADSAGA_DRAIN_SECONDS": "5",
    "LEADSAGA_HTTP_PORT": "0",
}


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "orchestrator", "run", *arguments)
    environment = {**os.environ, **SETTINGS}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_a_step_that_does_not_exist_is_wrong_usage_and_names_those_that_do() -> None:
    async with asyncio.timeout(50), running("step", "nonsense") as process:
        out, err = await process.communicate()
    assert (2, b"") == (process.returncode, out)
    assert all(name in err.decode() for name in ["nonsense", *step_names()])


@pytest.mark.parametrize("arguments", [(), ("step",), ("everything",)])
async def test_without_a_known_program_nothing_is_run(arguments: tuple[str, ...]) -> None:
    async with asyncio.timeout(50), running(*arguments) as process:
        await process.communicate()
    assert 2 == process.returncode


async def test_all_starts_the_orchestrator_and_every_step_and_stops_them_together() -> None:
    wanted = {"orchestrator", *step_names()}
    async with asyncio.timeout(50), running("all") as process:
        assert process.stderr is not None
        children: dict[str, int] = {}
        while wanted - children.keys():
            line = (await process.stderr.readline()).decode()
            assert line, f"it ended with {await process.wait()}"
            name, _, rest = line.partition(": started, process ")
            if rest:
                children[name] = int(rest)
        process.terminate()
        await process.communicate()
    assert 0 == process.returncode
    assert wanted == children.keys()
    assert [] == [name for name, child in children.items() if alive(child)]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
