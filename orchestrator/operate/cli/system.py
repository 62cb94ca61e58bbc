"""Commands that set the system up and run it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
import uvloop

from contracts.process.settings import BadSettings, ProcessSettings, load
from contracts.process.waiting import stop_on_signals
from orchestrator.operate import migrate as migration
from orchestrator.operate.cli.options import Json
from orchestrator.operate.cli.perform import fail, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.supervise import Program, Supervisor

Orchestrator = Callable[[], Awaitable[None]]

STOP_MARGIN = 5.0
"""Seconds a process may take to stop beyond its own drain time."""


def register(app: typer.Typer, orchestrator: Orchestrator) -> None:
    app.command("migrate")(migrate)
    app.add_typer(_run_commands(orchestrator), name="run")


def migrate(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait up to a minute for the database to answer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the database to this release's schema, and set the passwords of its roles.

    Reads LEADSAGA_DATABASE_URL, and the passwords in LEADSAGA_ENGINE_URL, _STEPS_URL, _OPERATOR_URL and
    _READER_URL.
    """
    perform(lambda: migration.migrate(wait=wait), tables.migrated, as_json=as_json)


def _run_commands(orchestrator: Orchestrator) -> typer.Typer:
    run = typer.Typer(help="Run the system's processes.", no_args_is_help=True)

    @run.command("orchestrator")
    def _orchestrator() -> None:
        """Run the orchestrator in this process."""
        try:
            uvloop.run(_awaited(orchestrator))
        except BadSettings as error:
            fail(Exit.BAD_SETTINGS, error.faults)

    @run.command("step")
    def _step(names: Annotated[list[str], typer.Argument(metavar="NAME...")]) -> None:
        """Run steps in this process."""
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "steps", *names])  # noqa: S606 - this Python, no shell

    @run.command("all")
    def _all() -> None:
        """Run the orchestrator and each step as processes of their own, and start again what dies."""
        try:
            settings = load(ProcessSettings)
        except BadSettings as error:
            fail(Exit.BAD_SETTINGS, error.faults)
        code = asyncio.run(_supervise(programs(step_names(), settings.http_port), settings.drain_seconds))
        raise typer.Exit(code)

    return run


async def _awaited(orchestrator: Orchestrator) -> None:
    await orchestrator()


async def _supervise(wanted: list[Program], drain_seconds: float) -> int:
    supervisor = Supervisor(say=_say, stopping=stop_on_signals(), grace=drain_seconds + STOP_MARGIN)
    return await supervisor.run(wanted)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def step_names() -> list[str]:
    """Asked of the steps themselves: neither side imports the other."""
    listed = subprocess.run(
        [sys.executable, "-m", "steps", "--list"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        fail(Exit.FAILED, ["the steps cannot be listed", *listed.stderr.splitlines()[-1:]])
    return listed.stdout.split()


def programs(steps: list[str], http_port: int) -> list[Program]:
    """The orchestrator and each step. Two of them cannot share one HTTP port: they get it and those after."""
    commands = [("orchestrator", ["orchestrator", "run", "orchestrator"])]
    commands += [(step, ["steps", step]) for step in steps]
    return [
        Program(
            name=name,
            arguments=[sys.executable, "-m", *arguments],
            environment={"LEADSAGA_HTTP_PORT": str(http_port + place)} if http_port else {},
        )
        for place, (name, arguments) in enumerate(commands)
    ]
