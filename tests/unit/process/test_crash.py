"""Crash points: a process dies where it was told to, and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

from contracts.process import crash
from contracts.process.settings import BadSettings

PASSES = """
import asyncio
from contracts.process import crash

async def call():
    async with crash.around("call.bank", "answered"):
        print("called", flush=True)
        raise ValueError

crash.arm()
crash.point(None, "commit")
for number in range(3):
    crash.point("bank.pay", "commit")
    print(number, flush=True)
try:
    asyncio.run(call())
except ValueError:
    print("ended", flush=True)
"""


def passes(at: str) -> tuple[int, list[str]]:
    """How a process ended that comes by some points, and what it said before."""
    done = subprocess.run(
        [sys.executable, "-c", PASSES],
        env={**os.environ, "LEADSAGA_CRASH_AT": at},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("bank.pay:commit", []),
        ("bank.pay:commit#3", ["0", "1"]),
        ("call.bank:before", ["0", "1", "2"]),
        ("call.bank:answered", ["0", "1", "2", "called"]),
    ],
)
def test_a_process_dies_at_the_point_and_passing_that_it_is_armed_for(at: str, said: list[str]) -> None:
    assert (-signal.SIGKILL, said) == passes(at)


@pytest.mark.parametrize("at", ["", "bank.pay:committed", "bank.pay:commit#4"])
def test_a_process_lives_when_it_comes_by_no_such_point(at: str) -> None:
    assert (0, ["0", "1", "2", "called", "ended"]) == passes(at)


@pytest.mark.parametrize("at", ["bank.pay", "bank.pay:commit#0", "bank.pay:commit#x", "bank pay:commit"])
def test_what_cannot_be_a_point_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setenv("LEADSAGA_CRASH_AT", at)
    with pytest.raises(BadSettings) as caught:
        crash.arm()
    (fault,) = caught.value.faults
    assert fault.startswith("LEADSAGA_CRASH_AT: ")
