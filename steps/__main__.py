"""python -m steps NAME [NAME ...] | --all | --list: one process for one step in production, for all in
development; --list prints the names."""

import sys

import uvloop

from contracts.process.settings import BadSettings
from steps import catalogue
from steps.runtime.process import run

USAGE = 2
"""As the operators' tool says it."""


def _say(words: object) -> None:
    print(words, file=sys.stderr)  # noqa: T201 - before logging is set up


def main(arguments: list[str]) -> int:
    if arguments == ["--list"]:
        print("\n".join(catalogue.names()))  # noqa: T201 - what was asked for
        return 0
    wanted = catalogue.names() if arguments == ["--all"] else arguments
    if not wanted:
        _say(f"usage: python -m steps NAME ... | --all | --list\nsteps: {', '.join(catalogue.names())}")
        return USAGE
    try:
        steps = [catalogue.find(name) for name in wanted]
        uvloop.run(run(steps))
    except catalogue.NoSuchStep as error:
        _say(error)
        return USAGE
    except BadSettings as error:
        _say(error)
        return BadSettings.EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
