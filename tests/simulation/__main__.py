"""`make simulate SEEDS=1000 FROM=0`: so many histories, on all cores. A seed that breaks a promise is told
with its rule, its story, and the command that runs it again."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from hashlib import sha256

from tests.simulation.bugs import BUGS
from tests.simulation.once_failed import ONCE_FAILED
from tests.simulation.run import LAST_LINES, Verdict, quiet, simulate

AT_ONCE = 20
"""Seeds that a worker takes at a time."""

TELL_EVERY = 10.0

ALL_LINES = 1_000_000


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Nothing may depend on the order of sets; should something do so all the same, it does in every run.
        arguments = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONHASHSEED": "0"})
    wanted = _arguments()
    if wanted.every_bug:
        return _hunt(range(wanted.first, wanted.first + wanted.seeds))
    began = time.monotonic()
    verdicts, sound = list[Verdict](), sha256()
    last = ALL_LINES if wanted.seeds == 1 else LAST_LINES
    some = range(wanted.first, wanted.first + wanted.seeds)
    seeds = list(ONCE_FAILED) if wanted.once_failed else some
    for verdict in _verdicts(seeds, wanted.bug, wanted.workers, last):
        verdicts.append(verdict)
        sound.update(verdict.digest.encode())
        if verdict.broken:
            _tell(verdict, wanted.bug)
            if not wanted.keep_going:
                break
    _conclude(verdicts, time.monotonic() - began, sound.hexdigest())
    return int(any(verdict.broken for verdict in verdicts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first one")
    parser.add_argument(
        "--once-failed", action="store_true", help="the seeds that failed once, and no others"
    )
    parser.add_argument("--keep-going", action="store_true", help="after a broken promise")
    parser.add_argument("--bug", choices=sorted(BUGS), help="seed this bug, and see it found")
    parser.add_argument("--every-bug", action="store_true", help="seed all of them, one after the other")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    return parser.parse_args()


def _verdicts(seeds: Sequence[int], bug: str | None, workers: int, last: int) -> Iterator[Verdict]:
    judge = partial(_judge, bug=bug, last=last)
    if workers == 1 or len(seeds) == 1:
        quiet()
        yield from map(judge, seeds)
        return
    began = told = time.monotonic()
    with ProcessPoolExecutor(workers, initializer=quiet) as pool:
        try:
            for done, verdict in enumerate(pool.map(judge, seeds, chunksize=AT_ONCE), 1):
                yield verdict
                if time.monotonic() - told > TELL_EVERY:
                    told = time.monotonic()
                    _say(f"{done:,} of {len(seeds):,} seeds, {done / (told - began):.0f} a second")
        finally:
            pool.shutdown(cancel_futures=True)


def _judge(seed: int, *, bug: str | None, last: int) -> Verdict:
    with BUGS[bug].seeded() if bug else nullcontext():
        try:
            return simulate(seed, last=last)
        except Exception:  # noqa: BLE001 - told like a broken promise, with the seed that led to it
            fault = f"the_simulation_itself_works: {traceback.format_exc()}"
            return Verdict(seed, (fault,), "", "", 0, 0, 0)


def _hunt(seeds: Sequence[int]) -> int:
    """Each bug must break, in one of these seeds, the very promise that it is known to break."""
    quiet()
    missed = 0
    for name, bug in BUGS.items():
        verdicts = (_judge(seed, bug=name, last=0) for seed in seeds)
        found = next((verdict for verdict in verdicts if bug.finds in verdict.rules), None)
        if found is None:
            missed += 1
            _say(f"{name}: NOT FOUND, {bug.finds} should be broken")
        else:
            line = next(line for line in found.broken if line.startswith(f"{bug.finds}: "))
            _say(f"{name}: found by seed {found.seed}: {line}")
    return missed


def _tell(verdict: Verdict, bug: str | None) -> None:
    again = f"make simulate SEEDS=1 FROM={verdict.seed}" + (f' BUG="{bug}"' if bug else "")
    broken = [f"  {line}" for line in verdict.broken]
    _say("\n".join([f"seed {verdict.seed} breaks", *broken, "", verdict.story, "", f"again: {again}", ""]))


def _conclude(verdicts: Sequence[Verdict], seconds: float, digest: str) -> None:
    broken = sum(bool(verdict.broken) for verdict in verdicts)
    sagas, messages, crashes = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("sagas", "messages", "crashes")
    )
    _say(
        f"{len(verdicts):,} histories ({sagas:,} sagas, {messages:,} messages, {crashes:,} crashes) in"
        f" {seconds:.0f} s, {len(verdicts) / seconds:.0f} a second: {broken} broke a promise"
    )
    _say(f"trace {digest}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what was asked for


if __name__ == "__main__":
    sys.exit(main())
