"""Are the dependencies what they claim to be? Pinned, hashed, free of addresses, installed as locked, under
licences that may be used; and, where an advisory service can be reached, without known vulnerabilities."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.lock"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")
REFUSED_LICENCES = re.compile(r"\b(AGPL|GPL-3|GPLv3|SSPL|BUSL)\b", re.IGNORECASE)


def pins() -> dict[str, tuple[str, str | None]]:
    """Version and marker of everything in the lock, by name."""
    found: dict[str, tuple[str, str | None]] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if match := PIN.match(line):
            marker = match["marker"]
            found[canonicalize_name(match["name"])] = (match["version"], marker and marker.strip())
    return found


def faults() -> Iterator[str]:
    text = LOCK.read_text(encoding="utf-8")
    if "://" in text or "--index" in text or "--find-links" in text:
        yield "requirements.lock names an address; it must be the same for everybody"
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    yield from (
        f"no hash: {block.splitlines()[0]}" for block in blocks if "==" in block and "--hash=" not in block
    )
    locked = pins()
    yield from _declared(locked)
    yield from _installed(locked)


def _declared(locked: dict[str, tuple[str, str | None]]) -> Iterator[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name), (None, None))[0]
        if version is None or version not in requirement.specifier:
            yield f"requirements.lock has {version} for {requirement}; run `make lock`"


def _installed(locked: dict[str, tuple[str, str | None]]) -> Iterator[str]:
    for name, (version, marker) in locked.items():
        if marker and not Marker(marker).evaluate():
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is locked but not installed"
            continue
        if found.version != version:
            yield f"{name} {found.version} is installed, {version} is locked"
        fields = found.metadata.json
        licence = str(fields.get("license_expression") or fields.get("license") or "?").splitlines()[0]
        if REFUSED_LICENCES.search(licence):
            yield f"{name} is under {licence}"


def advisories() -> str | None:
    """What pip-audit found, or None if there is nothing to act on. Says so when nobody could be asked."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run(
        [*command, "--requirement", str(LOCK)], capture_output=True, text=True, timeout=300, check=False
    )
    if "Found" in done.stderr and "known vulnerabilit" in done.stderr and "No known" not in done.stderr:
        return done.stdout
    unknown = done.stdout.count("could not be audited")
    if done.returncode or unknown:
        print(f"no advisory service could be asked about {unknown or 'all'} packages; the other checks hold")
    return None


def main() -> int:
    found = list(faults())
    if not found and (reported := advisories()):
        found = [reported]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
