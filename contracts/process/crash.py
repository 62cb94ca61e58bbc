"""Named crash points: where a test lets this very process die, as SIGKILL would have it.

Whatever writes, publishes, calls a vendor or acknowledges has a name, and moments around its effect:
`flush.plan:commit` (everything is written, nothing is committed), `flush.plan:committed`. tests/crash reads
from the code which points there are, and dies at each of them. When off, one costs a comparison.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from contracts.process.settings import Settings, load


class CrashSettings(Settings):
    crash_at: Annotated[str, Field(pattern=r"^([a-z0-9_.-]+:[a-z]+(#[1-9][0-9]{0,3})?)?$")] = ""
    """Only for tests: the crash point at which the process kills itself, `flush.plan:committed` for one;
    with `#3` at its third passing."""


@dataclass(slots=True)
class _Armed:
    point: str
    left: int


_armed: _Armed | None = None


def arm() -> None:
    """Reads LEADSAGA_CRASH_AT. Raises BadSettings."""
    global _armed  # noqa: PLW0603 - looked at by every operation, so it is no more than one name
    point, _, passing = load(CrashSettings).crash_at.partition("#")
    _armed = _Armed(point, int(passing or 1)) if point else None


def point(name: str | None, moment: str) -> None:
    """Does not return when this is where the process is to die. Without a name it is no point."""
    if _armed is None or name is None or _armed.point != f"{name}:{moment}":
        return
    _armed.left -= 1
    if _armed.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def around(name: str, after: str) -> AsyncIterator[None]:
    """An operation of the outside world: `before` it, and `after` it, also when it raised an error."""
    point(name, "before")
    try:
        yield
    except Exception:
        point(name, after)
        raise
    point(name, after)
