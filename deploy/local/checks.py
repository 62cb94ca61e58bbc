"""make test: everything that must hold, on a machine where nothing was installed by hand."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from deploy.local.place import temporary
from deploy.local.services import services

REPOSITORY = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent

COVERAGE = ["--cov", "--cov-report=term:skip-covered", "--cov-report=", "--cov-fail-under=90"]
CORE = [
    *(sys.executable, "-m", "coverage", "report"),
    *("--include=orchestrator/core/*", "--fail-under=100", "--show-missing", "--skip-covered"),
]

SIDE_BY_SIDE = ["-n", "2", "--dist", "worksteal"]

PARTS = [*SIDE_BY_SIDE, *COVERAGE, "tests/unit", "tests/contract", "tests/integration"]

# The longest first, so that nobody waits for it alone at the end.
SYSTEMS = ["tests/chaos", "tests/infrastructure", "tests/crash", "tests/acceptance", "tests/simulation"]
"""Whole systems, taken through what may happen to them. Their processes are forked or killed: what they cover
is not counted, and to count it would take a third of the time again."""

FAILED = 1
"""Of pytest: all tests were run, and some failed."""

ALONE = ["--last-failed", "--last-failed-no-failures", "none", *SYSTEMS]

STATIC: tuple[tuple[str, list[str]], ...] = (
    ("style", [sys.executable, "-m", "ruff", "check", "--quiet", "."]),
    ("format", [sys.executable, "-m", "ruff", "format", "--quiet", "--check", "."]),
    ("types", [sys.executable, "-m", "mypy", "--no-error-summary"]),
    ("import rules", [str(TOOLS / "lint-imports"), "--no-cache"]),
    ("dependencies", [sys.executable, "-m", "deploy.local.audit"]),
)


def check(console: Console, arguments: Sequence[str]) -> int:
    """Static checks, then all tests. Returns the first exit code that is not 0."""
    if not arguments:
        for name, command in STATIC:
            begun = time.monotonic()
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            seconds = time.monotonic() - begun
            console.print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'} ({seconds:.1f} s)")
            if done.returncode or name == "dependencies":
                console.print(done.stdout + done.stderr, markup=False, end="")
            if done.returncode:
                return done.returncode
    status = asyncio.run(_tests(console, arguments))
    # Some of the tests say nothing about what all of them cover.
    return status if status or arguments else _core_is_covered(console)


def _core_is_covered(console: Console) -> int:
    """Every line and every branch of the pure machine; pytest-cov has put its workers' data together."""
    done = subprocess.run(CORE, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    console.print(f"every branch of the core is tested: {'ok' if done.returncode == 0 else 'FAILED'}")
    if done.returncode:
        console.print(done.stdout + done.stderr, markup=False, end="")
    return done.returncode


async def _tests(console: Console, arguments: Sequence[str]) -> int:
    """One Postgres and one RabbitMQ for all test workers; each test has its own database and queues."""
    with temporary() as directory:
        async with services(directory, durable=False, say=console.print) as found:
            for line in found.sources:
                console.print(line, markup=False)
            environment = {
                **os.environ,
                "LEADSAGA_DATABASE_URL": found.database_url,
                "LEADSAGA_AMQP_URL": found.amqp_url,
            }
            if arguments:
                return await _pytest(arguments, environment)
            return await _pytest(PARTS, environment) or await _whole_systems(console, environment)


async def _whole_systems(console: Console, environment: Mapping[str, str]) -> int:
    """They promise seconds, and two of them share this machine. What fails then is asked once more, with the
    machine to itself, and counts if it fails again."""
    status = await _pytest([*SIDE_BY_SIDE, *SYSTEMS], environment)
    if status != FAILED:
        return status
    console.print("FAILED beside another system, see above; once more, alone:", markup=False)
    return await _pytest(ALONE, environment)


async def _pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, env=environment)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
