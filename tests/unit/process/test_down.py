"""`make down` stops the system of its directory, and never a stranger."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from rich.console import Console

from deploy.local.services.processes import Identity
from deploy.local.up import SIGNATURE, down

FOR_EVER = "import signal; print('up', flush=True); signal.pause()"


@pytest_asyncio.fixture
async def process() -> AsyncIterator[Identity]:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FOR_EVER), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        await started.stdout.readline()
        identity = Identity.of(started.pid)
        assert identity is not None
        yield identity
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def said(directory: Path) -> tuple[int, str]:
    heard = io.StringIO()
    return await down(directory, Console(file=heard)), heard.getvalue().strip()


async def test_without_a_running_system_there_is_nothing_to_stop(tmp_path: Path) -> None:
    assert (0, "nothing is running here") == await said(tmp_path)


async def test_a_system_that_runs_here_is_gone_when_down_returns(tmp_path: Path, process: Identity) -> None:
    (tmp_path / SIGNATURE).write_text(f"{process.pid} {process.started}")
    assert (0, "stopped") == await said(tmp_path)
    assert not process.lives()


async def test_who_got_the_number_of_a_killed_system_is_left_alone(tmp_path: Path, process: Identity) -> None:
    for left in (f"{process.pid} {process.started - 1}", str(process.pid)):
        (tmp_path / SIGNATURE).write_text(left)
        assert (0, "nothing is running here") == await said(tmp_path)
    assert process.lives()
