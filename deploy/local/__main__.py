"""make demo, make up, make down, make test."""

import asyncio
import os
import signal
import sys

from rich.console import Console

from contracts.process.settings import BadSettings
from deploy.local.children import ProcessFailed
from deploy.local.place import default_place, temporary
from deploy.local.services import ServicesError

INTERRUPTED = 130
NO_TERMINAL_WIDTH = 140


def main(arguments: list[str]) -> int:  # noqa: PLR0911 - one a command
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NO_TERMINAL_WIDTH)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up just as on Ctrl-C
    try:
        match arguments:
            case ["demo"]:
                return _demo(console)
            case ["up"]:
                return _up(console)
            case ["down"]:
                return _down(console)
            case ["test", *rest]:
                from deploy.local.checks import check  # noqa: PLC0415 - brings in the test tools

                return check(console, rest)
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything that was started is stopped")
        return INTERRUPTED
    except (ProcessFailed, ServicesError, BadSettings, TimeoutError) as error:
        console.print(f"\n{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    console.print("usage: python -m deploy.local demo | up | down | test [PYTEST ARGUMENTS]", markup=False)
    return 64


def _demo(console: Console) -> int:
    from deploy.local.demo.run import demo  # noqa: PLC0415 - slow to import, and needed only here

    with temporary() as directory:
        return asyncio.run(demo(directory, console))


def _up(console: Console) -> int:
    from deploy.local.up import up  # noqa: PLC0415

    return asyncio.run(up(default_place(), console))


def _down(console: Console) -> int:
    from deploy.local.up import down  # noqa: PLC0415

    return asyncio.run(down(default_place(), console))


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
