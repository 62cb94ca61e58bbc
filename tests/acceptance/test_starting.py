"""Processes that cannot start yet, or must not start at all, say so."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.kit.sandbox import REPOSITORY, free_port, until

PROGRAMS = [
    pytest.param(("-m", "orchestrator", "run", "orchestrator"), id="orchestrator"),
    pytest.param(("-m", "steps", "reserve_quota"), id="step"),
]


def settings(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADSAGA_")}
    nowhere = f"127.0.0.1:{free_port()}"
    return {
        **kept,
        "LEADSAGA_ENGINE_URL": f"postgresql://nobody:hidden-word@{nowhere}/none",
        "LEADSAGA_STEPS_URL": f"postgresql://nobody:hidden-word@{nowhere}/none",
        "LEADSAGA_AMQP_URL": f"amqp://nobody:hidden-word@{nowhere}/",
        **given,
    }


@asynccontextmanager
async def started(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=REPOSITORY,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def output(process: asyncio.subprocess.Process) -> str:
    text, _ = await process.communicate()
    return text.decode()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_process_that_waits_for_its_database_is_live_not_ready_and_can_be_stopped(
    program: tuple[str, ...],
) -> None:
    port = free_port()
    async with (
        started(program, settings(LEADSAGA_HTTP_PORT=str(port))) as process,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):

        async def live() -> bool:
            try:
                return (await http.get("/live")).status_code == 200
            except httpx2.TransportError:
                return False

        await until(live, 20)
        assert 503 == (await http.get("/ready")).status_code
        process.send_signal(signal.SIGTERM)
        said = await asyncio.wait_for(output(process), 10)
    assert 0 == process.returncode
    assert "waiting_for" in said
    assert "hidden-word" not in said


@pytest.mark.parametrize("program", PROGRAMS)
async def test_wrong_settings_stop_the_start_with_a_line_for_each(program: tuple[str, ...]) -> None:
    wrong = settings(
        LEADSAGA_AMQP_URL="http://hidden-word", LEADSAGA_POOL_SIZE="none", LEADSAGA_TIME_SCALE="-1"
    )
    async with started(program, wrong) as process:
        said = await output(process)
    assert 78 == process.returncode
    for name in ("LEADSAGA_AMQP_URL", "LEADSAGA_POOL_SIZE", "LEADSAGA_TIME_SCALE"):
        assert 1 == sum(line.startswith(name) for line in said.splitlines()), said
    assert "hidden-word" not in said


@pytest.mark.parametrize("program", PROGRAMS)
async def test_missing_settings_are_named(program: tuple[str, ...]) -> None:
    missing = {name: value for name, value in settings().items() if not name.startswith("LEADSAGA_")}
    async with started(program, missing) as process:
        said = await output(process)
    assert 78 == process.returncode
    assert "LEADSAGA_AMQP_URL is not set" in said
