"""The system kept running on a data directory, in the foreground, until Ctrl-C or `make down`."""

import os
import signal
import time
from pathlib import Path

from rich.console import Console

from deploy.local.demo import scenario, shop
from deploy.local.place import write_environment
from deploy.local.services.ports import LOOPBACK
from deploy.local.system import System, running
from deploy.sandbox.client import SandboxAdmin

DOWN_SECONDS = 60.0


async def up(directory: Path, console: Console) -> int:
    """Continues where the last run on this directory ended, however it ended."""
    time_scale = float(os.environ.get("LEADSAGA_TIME_SCALE", "1"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    pid_file = directory / "up.pid"
    console.print(f"Starting on {directory}", markup=False)
    async with running(
        directory, durable=True, time_scale=time_scale, throw_away=False, say=console.print
    ) as system:
        pid_file.write_text(str(os.getpid()), encoding="ascii")
        try:
            await _furnish(system, directory)
            _tell(system, directory, console)
            await system.children.watch(console.print)
        finally:
            pid_file.unlink(missing_ok=True)
    return 0


async def _furnish(system: System, directory: Path) -> None:
    """The first time: the plans and tenants of the demo, so that there is somebody to ask for leads."""
    done = directory / "furnished"
    if done.exists():
        return
    async with SandboxAdmin(system.sandbox) as admin:
        await scenario.register_webhooks(admin)
    await shop.set_up(system.children, system.sandbox, scenario.TENANTS)
    done.touch()


def _tell(system: System, directory: Path, console: Console) -> None:
    environment = directory / "environment"
    write_environment(
        environment,
        {name: value for name, value in system.environment.items() if name.startswith("LEADSAGA_")},
    )
    for line in system.urls():
        console.print(f"  {line}", highlight=False, markup=False)
    if system.services.broker_metrics_url:
        console.print(f"  RabbitMQ metrics: {system.services.broker_metrics_url}", markup=False)
    console.print(
        f"\nIn another terminal:\n"
        f"  . {environment}\n"
        f"  .venv/bin/leadsaga request --tenant acme --leads 5 --criteria 'Bakeries in Porto' --wait 60\n"
        f"  .venv/bin/leadsaga list\n"
        f"Logs are in {directory / 'logs'}; the system answers on {LOOPBACK} only. Ctrl-C stops it.",
        markup=False,
    )


def down(directory: Path, console: Console) -> int:
    """Asks a running `up` to stop and waits for it."""
    try:
        pid = int((directory / "up.pid").read_text(encoding="ascii"))
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        console.print("nothing is running here")
        return 0
    deadline = time.monotonic() + DOWN_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            console.print("stopped")
            return 0
        time.sleep(0.1)
    console.print(f"process {pid} has not stopped after {DOWN_SECONDS:g} s", style="red")
    return 1
