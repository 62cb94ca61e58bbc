"""A process whose event loop is blocked ends itself, so that its death is seen and counted."""

import faulthandler
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, call

import pytest

from contracts.process import watchdog
from tests.kit.sandbox import until

REPOSITORY = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0
NOWHERE = "127.0.0.1:1/nowhere"

BLOCKED = """
import asyncio
from contracts.process import watchdog
watchdog.BLOCKED_SECONDS = 1.0

def for_ever(secret="s3cret of a tenant"):
    while True:
        pass

async def main():
    asyncio.get_running_loop().call_soon(for_ever)
    {run}

asyncio.run(main())
"""


def ran(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_a_process_that_is_blocked_ends_and_says_where_without_any_value() -> None:
    ended = ran(BLOCKED.format(run="with watchdog.ends_when_blocked(): for_ever()"))
    assert 1 == ended.returncode
    assert "in for_ever" in ended.stderr
    assert "s3cret" not in ended.stderr


@pytest.mark.parametrize(
    "run",
    [
        "from orchestrator.app import run; await run()",
        "from steps.runtime.process import run; from steps.reserve_quota import STEP; await run([STEP])",
    ],
    ids=["orchestrator", "steps"],
)
def test_every_process_is_watched_before_it_waits_for_anything(run: str) -> None:
    ended = ran(
        BLOCKED.format(run=run),
        LEADSAGA_AMQP_URL=f"amqp://{NOWHERE}",
        LEADSAGA_ENGINE_URL=f"postgresql://{NOWHERE}",
        LEADSAGA_STEPS_URL=f"postgresql://{NOWHERE}",
        LEADSAGA_HTTP_PORT="0",
    )
    assert 1 == ended.returncode, ended.stderr
    assert "in for_ever" in ended.stderr


async def test_a_loop_that_turns_puts_its_end_off_again_and_again_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_off, over = Mock(), Mock()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", put_off)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", over)
    monkeypatch.setattr(watchdog, "BLOCKED_SECONDS", 0.01)

    async def thrice() -> bool:
        return put_off.call_count >= 3

    with watchdog.ends_when_blocked():
        await until(thrice)
        assert not over.called
    over.assert_called_once_with()
    assert [call(0.01, exit=True)] * put_off.call_count == put_off.mock_calls
