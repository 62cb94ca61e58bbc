"""The schema of a release: schema.sql for an empty database, numbered files for one that holds data."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.operate.errors import OperateError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "migrations"
SCHEMA = 1
"""The version that schema.sql goes by; numbered files begin with the next."""

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


class BadRelease(OperateError):
    """the migrations of this release are not in order"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    schema: Script
    migrations: tuple[Script, ...] = ()

    @property
    def scripts(self) -> tuple[Script, ...]:
        return (self.schema, *self.migrations)


def this_release() -> Release:
    """Raises BadRelease."""
    # In a source tree schema.sql stands at the root; an installed wheel carries it beside the migrations.
    places = [ROOT / "schema.sql", FOLDER / "schema.sql"]
    schema = next((place for place in places if place.is_file()), None)
    if schema is None:
        raise BadRelease("schema.sql is missing from this installation")
    return read_release(schema, FOLDER)


def read_release(schema: Path, folder: Path) -> Release:
    """Raises BadRelease unless the files are numbered from 2 without a gap."""
    numbered = [path for path in sorted(folder.glob("*.sql")) if path.name != "schema.sql"]
    migrations = []
    for expected, path in enumerate(numbered, SCHEMA + 1):
        name = _NAME.match(path.name)
        if name is None or int(name[1]) != expected:
            raise BadRelease(f"migrations: {path.name} is not named {expected:04}_what_it_does.sql")
        migrations.append(_script(path, expected))
    return Release(schema=_script(schema, SCHEMA), migrations=tuple(migrations))


def _script(path: Path, version: int) -> Script:
    return Script(version=version, name=path.name, text=path.read_text(encoding="utf-8"))
