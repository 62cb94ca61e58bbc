"""A data directory: where the system keeps its databases, ports, passwords and logs between two runs."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROLES = ("engine", "steps", "operator", "reader")


def default_place() -> Path:
    """LEADSAGA_HOME; or a place that servers, which never run as root, can reach."""
    if home := os.environ.get("LEADSAGA_HOME"):
        return Path(home)
    if os.getuid() == 0:
        return Path("/var/lib/leadsaga")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "leadsaga"


def remembered_secrets(directory: Path) -> dict[str, str]:
    """Passwords of the database roles, made once for each directory and readable by its owner only."""
    file = directory / "passwords.json"
    if not file.exists():
        made = {role: secrets.token_urlsafe(24) for role in ROLES}
        write_private(file, json.dumps(made))
    return dict(json.loads(file.read_text(encoding="ascii")))


def remembered_key(directory: Path) -> str:
    """What secrets in the database are sealed with: lasts as long as that, readable by its owner only."""
    file = directory / "secrets.key"
    if not file.exists():
        write_private(file, secrets.token_hex(32))
    return file.read_text(encoding="ascii").strip()


def write_private(file: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    fresh.replace(file)


def write_environment(file: Path, environment: dict[str, str]) -> None:
    """For `source`: what the operators' tool needs to talk to this system."""
    lines = [f"export {name}='{value}'" for name, value in sorted(environment.items())]
    write_private(file, "\n".join(lines) + "\n")


@contextmanager
def temporary() -> Iterator[Path]:
    """A directory that is gone afterwards, whatever happens. Servers run as others and must reach it."""
    directory = Path(tempfile.mkdtemp(prefix="leadsaga-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
