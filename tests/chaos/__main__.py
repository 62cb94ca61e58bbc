"""`python -m tests.chaos --minutes 10 --seed 7`: exit code 0 when every promise was kept."""

import argparse
import asyncio
import logging
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.place import temporary
from deploy.local.services import ServicesError
from tests.chaos.report import report
from tests.chaos.run import Plan, chaos

INTERRUPTED = 130
NO_SERVICES = 69
"""EX_UNAVAILABLE of sysexits.h."""


def parsed(arguments: Sequence[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load; quiet and checks come on top")
    parser.add_argument("--seed", type=int, default=1, help="of load, faults and blows")
    parser.add_argument("--orders", type=int, default=400, help="open at a time")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two blows, on average")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds until all must be quiet")
    parser.add_argument("--keep", type=Path, help="a new directory for data and logs, which stay")
    return parser.parse_args(arguments)


def plan_of(arguments: Any) -> Plan:
    return Plan(
        seed=arguments.seed,
        load_seconds=arguments.minutes * 60,
        settle_seconds=arguments.patience,
        blow_every=arguments.every,
        window=arguments.orders,
    )


def main() -> int:
    arguments = parsed()
    plan = plan_of(arguments)
    # Clients of a broker that is being killed have a lot to say.
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _place(arguments.keep) as directory:
        try:
            result = asyncio.run(chaos(plan, directory, _say))
        except KeyboardInterrupt:
            _say("interrupted; everything that was started is stopped")
            return INTERRUPTED
        except ServicesError as error:
            _say(f"{type(error).__name__}: {error}")
            return NO_SERVICES
        for line in report(plan, result):
            _say(line)
        _say(_effort(len(result.history.sagas)))
    return 0 if result.kept else 1


def _effort(sagas: int) -> str:
    """Of this process and all that it started, services and the dead included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    return f"processor time: {seconds:.0f} s, {1000 * seconds / max(sagas, 1):.0f} ms a saga"


@contextmanager
def _place(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with temporary() as directory:
            yield directory
    else:
        kept.mkdir(mode=0o711, parents=True)
        yield kept.resolve()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what was asked for


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
