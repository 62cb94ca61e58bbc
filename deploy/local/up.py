"""The system kept running on a data directory, in the foreground, until Ctrl-C or `make down`."""

import os
import signal
from pathlib import Path

from rich.console import Console

from deploy.local.demo import scenario, shop
from deploy.local.place import write_environment
from deploy.local.services.ports import LOOPBACK
from deploy.local.services.processes import Identity, gone
from deploy.local.system import System, running
from deploy.sandbox.client import SandboxAdmin

DOWN_SECONDS = 60.0
SIGNATURE = "up.pid"


async def up(directory: Path, console: Console) -> int:
    """Continues where the last run on this directory ended, however it ended."""
    time_scale = float(os.environ.get("LEADSAGA_TIME_SCALE", "1"))
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    console.print(f"Starting on {directory}", markup=False)
    async with running(
        directory, durable=True, time_scale=time_scale, throw_away=False, say=console.print
    ) as system:
        _sign(directory)
        try:
            await _furnish(system, directory)
            _tell(system, directory, console)
            await system.children.watch(console.print)
        finally:
            (directory / SIGNATURE).unlink(missing_ok=True)
    return 0


async def _furnish(system: System, directory: Path) -> None:
    """Once: the plans and tenants of the demo, so that there is somebody to ask for leads."""
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
        f"  .venv/bin/leadsaga request --tenant acme --leads 5 --criteria 'Bakeries in Porto' --wait 120\n"
        f"  .venv/bin/leadsaga list\n"
        f"Logs are in {directory / 'logs'}; the system answers on {LOOPBACK} only. Ctrl-C stops it.",
        markup=False,
    )


def _sign(directory: Path) -> None:
    """Leaves word of who runs here: number and start, for the kernel gives numbers to others afterwards."""
    me = Identity.of(os.getpid())
    assert me is not None
    (directory / SIGNATURE).write_text(f"{me.pid} {me.started}", encoding="ascii")


def _signed(directory: Path) -> Identity | None:
    """Who runs here. None when nobody does, whatever the last one left."""
    try:
        pid, started = map(int, (directory / SIGNATURE).read_text(encoding="ascii").split())
    except (FileNotFoundError, ValueError):
        return None
    found = Identity(pid, started)
    return found if found.lives() else None


async def down(directory: Path, console: Console) -> int:
    """Asks a running `up` to stop and waits for it."""
    running_here = _signed(directory)
    if running_here is None:
        console.print("nothing is running here")
        return 0
    running_here.signal(signal.SIGTERM)
    if await gone([running_here], DOWN_SECONDS):
        console.print("stopped")
        return 0
    console.print(f"process {running_here.pid} has not stopped after {DOWN_SECONDS:g} s", style="red")
    return 1
