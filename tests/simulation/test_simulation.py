"""Thousands of histories, each another one. `make simulate` runs more of them."""

import os
import re
import subprocess
import sys

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.once_failed import ONCE_FAILED

SEEDS = 1000
"""Of each half."""

UNSEEDED = 1000
"""Seeds among which a bug must show."""


def simulation(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, without what measures coverage: it would take most of the time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-m", "tests.simulation", "--workers", "1", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", [0, 1])
def test_whatever_goes_wrong_no_promise_is_broken(half: int) -> None:
    done = simulation("--seeds", str(SEEDS), "--from", str(half * SEEDS))
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(120)
def test_seeds_that_failed_once_do_not_fail_again() -> None:
    done = simulation("--once-failed")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(ONCE_FAILED)} histories" in done.stdout


@pytest.mark.timeout(300)
def test_each_seeded_bug_is_found_and_told_with_the_promise_that_it_breaks() -> None:
    done = simulation("--seeds", str(UNSEEDED), "--every-bug")
    assert 0 == done.returncode, done.stdout + done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert list(BUGS) == list(told)
    assert all(f": {bug.finds}: " in told[name] for name, bug in BUGS.items())


@pytest.mark.timeout(120)
def test_a_failing_seed_tells_its_story_and_how_to_see_it_again() -> None:
    bug = "undo armed on success"
    done = simulation("--seeds", "50", "--bug", bug)
    assert 1 == done.returncode
    found = re.search(r"again: make simulate SEEDS=1 FROM=(\d+) BUG", done.stdout)
    assert found, done.stdout
    again = simulation("--seeds", "1", "--from", found[1], "--bug", bug)
    assert f"  {BUGS[bug].finds}: " in again.stdout
    assert "commits lead 1 accepted started requested(do reserve_quota 1)" in again.stdout


@pytest.mark.timeout(120)
def test_the_same_seeds_are_the_same_histories_to_the_last_detail() -> None:
    first, second = (simulation("--seeds", "40").stdout.splitlines()[-1] for _ in range(2))
    assert first.startswith("trace ")
    assert first == second
