"""A process whose event loop is blocked ends itself, and its supervisor starts it again.

It hears no order to stop, and the broker has long given its messages to others. Only a death is counted
against the command that caused it: to wait for ever, or to be blocked by it next, helps nobody.
"""

import asyncio
import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager

BLOCKED_SECONDS = 20.0
"""Nothing of ours keeps the event loop for a second. The rest is for a machine that swaps, or has far too
much to do: a process that is merely late there would be later still if it had to begin again."""

TURNS = 10
"""Signs of life within that time."""


@contextmanager
def ends_when_blocked() -> Iterator[None]:
    """Within, the process exits with status 1 once its event loop has stood still for `BLOCKED_SECONDS`, and
    every thread's traceback is on standard error: places in the code, no values.

    Time in which the machine sleeps does not count. Time in which the process is stopped does (SIGSTOP, a
    debugger): continued after more than that it may end at once, which is as safe as any other death.
    """
    turning = asyncio.create_task(_turn())
    _wind()
    try:
        yield
    finally:
        turning.cancel()
        faulthandler.cancel_dump_traceback_later()


async def _turn() -> None:
    while True:
        await asyncio.sleep(BLOCKED_SECONDS / TURNS)
        _wind()


def _wind() -> None:
    # A thread of the interpreter's own, which needs no lock of it: it ends us whatever holds that.
    faulthandler.dump_traceback_later(BLOCKED_SECONDS, exit=True)
