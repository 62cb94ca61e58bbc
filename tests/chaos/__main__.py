"""`python -m tests.chaos --minutes 10 --seed 7`: exit code 0 when every promise was kept."""

import argparse
import asyncio
import logging
import os
import sys

from deploy.local.place import temporary
from tests.chaos.report import report
from tests.chaos.run import Plan, chaos

INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load; quiet and checks come on top")
    parser.add_argument("--seed", type=int, default=1, help="of load, faults and blows")
    parser.add_argument("--orders", type=int, default=400, help="open at a time")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two blows, on average")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds until all must be quiet")
    arguments = parser.parse_args()
    # Clients of a broker that is being killed have a lot to say.
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    plan = Plan(
        seed=arguments.seed,
        load_seconds=arguments.minutes * 60,
        settle_seconds=arguments.patience,
        blow_every=arguments.every,
        window=arguments.orders,
    )
    with temporary() as directory:
        try:
            result = asyncio.run(chaos(plan, directory, _say))
        except KeyboardInterrupt:
            _say("interrupted; everything that was started is stopped")
            return INTERRUPTED
        for line in report(plan, result):
            _say(line)
    return 0 if result.kept else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what was asked for


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
