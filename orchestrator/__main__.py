"""The operators' tool, installed as `leadsaga`; also `python -m orchestrator`."""

import sys
from collections.abc import Sequence

from orchestrator.operate.cli.build import build


async def _orchestrator() -> None:
    # The broker's framework takes a second to import, and most commands do without it.
    from orchestrator.app import run  # noqa: PLC0415

    await run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code, as `leadsaga --help` lists them."""
    try:
        build(_orchestrator)(None if arguments is None else list(arguments), prog_name="leadsaga")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
