import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from deploy.local.services.errors import DirectoryInUse


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Held while this process lives, however it ends: what runs in a directory without a holder is left over.

    Raises DirectoryInUse when another process holds it.
    """
    with (directory / "lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(f"Another running system uses {directory}") from None
        yield
