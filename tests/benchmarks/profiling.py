"""`python -m tests.benchmarks.profiling`: what orchestrator and steps do with their time when saturated.

By cProfile, which makes what calls many functions look dearer than it is: good for what is called how often,
to be held against CPU per saga without it.
"""

import argparse
import asyncio
import pstats
import re
import sys
from io import StringIO
from pathlib import Path

import uvloop

from tests.benchmarks.__main__ import say
from tests.benchmarks.engine import LAYOUTS, TYPICAL, loaded, saturated
from tests.benchmarks.parts import tenants_of
from tests.benchmarks.stage import prepared
from tests.benchmarks.tables import plain

LAYOUT = "one process for all steps"


async def profile(in_flight: int, seconds: float, lines: int, order: str) -> None:
    tenants = tenants_of(TYPICAL)
    async with prepared(say) as stage:
        folder = stage.directory / "profiles"
        folder.mkdir()
        async with stage.database(tenants) as url:
            settings = {"BENCH_PROFILE": str(folder)}
            async with (
                stage.running(url, LAYOUTS[LAYOUT], settings) as running,
                loaded(stage, running, tenants) as (load, meter),
            ):
                metrics = await saturated(load, meter, in_flight, 2, seconds)
                sagas = len(load.seconds)
        say(", ".join(f"{name} {plain(value)}" for name, value in metrics.items()))
        for file in sorted(folder.glob("*.prof")):
            say(f"\n{file.stem}: {sagas} sagas in all\n{_top(file, lines, order)}")


def _top(file: Path, lines: int, order: str) -> str:
    out = StringIO()
    pstats.Stats(str(file), stream=out).sort_stats(order).print_stats(lines)
    told = out.getvalue().partition("ncalls")
    return re.sub(r"/\S*/(site-packages|python3\.\d+)/", "", told[1] + told[2])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profiling", description=__doc__)
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--order", choices=("tottime", "cumulative", "ncalls"), default="tottime")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(profile(given.in_flight, given.seconds, given.lines, given.order))
    return 0


if __name__ == "__main__":
    sys.exit(main())
