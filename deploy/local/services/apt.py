"""Server programs from the distribution's packages, without the system services that come with them.

Debian starts and enables a service as soon as its package is installed, and creates a Postgres cluster on the
well-known port. Documented switches prevent that; what they were set to before is put back.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.local.services.errors import InstallationFailed

POLICY = Path("/usr/sbin/policy-rc.d")  # invoke-rc.d(8): exit status 101 forbids to start anything
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")
NO_CLUSTER = "\n# Set while leadsaga installs the server programs alone.\ncreate_main_cluster = false\n"
NO_START = "#!/bin/sh\n# Set while leadsaga installs server programs without starting services.\nexit 101\n"
UNITS = ("rabbitmq-server.service", "postgresql.service", "epmd.service", "epmd.socket")
ASK_NOTHING = {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true"}
LOG_LINES_SHOWN = 6


def can_install() -> bool:
    """Root on Debian, Ubuntu or a relative."""
    return os.getuid() == 0 and shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


async def install(packages: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Installs without starting or enabling any service. Raises InstallationFailed.

    An interruption waits for the package manager to finish: stopped half-way it leaves the system broken.
    """
    say(
        f"Installing {' and '.join(packages)} from the distribution's packages (no system service is started)"
    )
    work = asyncio.create_task(asyncio.to_thread(_install, packages))
    try:
        await asyncio.shield(work)
    finally:
        if not work.done():
            say("Waiting for the package manager to finish")
            await asyncio.wait([work])


def _install(packages: tuple[str, ...]) -> None:
    present = {unit for unit in UNITS if _is_installed(unit)}
    with replaced(POLICY, lambda _: NO_START, mode=0o755):
        _apt("update")
        if "postgresql" in packages:
            _apt("install", "postgresql-common")  # brings the file of the next line
        with (
            replaced(CLUSTERS, lambda text: text + NO_CLUSTER)
            if CLUSTERS.exists()
            else contextlib.nullcontext()
        ):
            _apt("install", *packages)
    for unit in UNITS:
        if unit not in present and _is_installed(unit):
            _disable(unit)


@contextlib.contextmanager
def replaced(file: Path, change: Callable[[str], str], mode: int | None = None) -> Iterator[None]:
    """The file with another text inside the block, and exactly as it was (or absent) afterwards.

    What was there is kept beside it meanwhile; if this program is killed, the next call puts that back first.
    """
    kept, absent = (
        file.with_name(f".{file.name}.leadsaga-kept"),
        file.with_name(f".{file.name}.leadsaga-absent"),
    )
    _restore(file, kept, absent)
    if file.exists():
        shutil.copy2(file, kept)
        text = file.read_text(encoding="utf-8")
    else:
        absent.touch()
        text = ""
    try:
        changed = file.with_name(f".{file.name}.leadsaga-new")
        changed.write_text(change(text), encoding="utf-8")
        changed.chmod(mode if mode is not None else file.stat().st_mode & 0o777)
        changed.rename(file)
        yield
    finally:
        _restore(file, kept, absent)


def _restore(file: Path, kept: Path, absent: Path) -> None:
    if kept.exists():
        kept.rename(file)
    if absent.exists():
        file.unlink(missing_ok=True)
        absent.unlink()


def _apt(action: str, *packages: str) -> None:
    options = ["--yes", "--quiet", "-o", "DPkg::Lock::Timeout=300"]
    how = ["--no-install-recommends"] if action == "install" else []
    done = subprocess.run(
        ["apt-get", action, *options, *how, *packages],
        env={**os.environ, **ASK_NOTHING},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
    )
    # An update that reaches some sources only is no failure yet: the packages may be known already.
    if done.returncode != 0 and action == "install":
        shown = "\n  ".join((done.stdout + done.stderr).splitlines()[-LOG_LINES_SHOWN:])
        raise InstallationFailed(f"apt-get {action} {' '.join(packages)} failed; it said:\n  {shown}")


def _is_installed(unit: str) -> bool:
    directories = (Path("/lib/systemd/system"), Path("/usr/lib/systemd/system"))
    return any((directory / unit).exists() for directory in directories)


def _disable(unit: str) -> None:
    """Keeps the unit from starting with the machine, whichever init system the machine may have."""
    name = unit.partition(".")[0]
    commands = [["systemctl", "disable", "--quiet", unit]]
    if Path("/etc/init.d", name).exists():
        commands.append(["update-rc.d", name, "disable"])
    for command in commands:
        if shutil.which(command[0]):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    for link in Path("/etc/systemd/system").glob(f"*.wants/{unit}"):  # without systemctl nothing removed them
        link.unlink(missing_ok=True)
