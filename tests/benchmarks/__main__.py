"""`make bench`: how fast the system is, on services of its own, held against the best this machine can do.

The rounds of all parts are interleaved: a machine's speed moves, and only what lies side by side compares.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path

import uvloop

from tests.benchmarks import tables
from tests.benchmarks.engine import engine, latency
from tests.benchmarks.floors import floors
from tests.benchmarks.flush import flush
from tests.benchmarks.growth import growth
from tests.benchmarks.lead import lead
from tests.benchmarks.parts import FULL, QUICK, Case, Measure, Part, Size
from tests.benchmarks.place import broker_version
from tests.benchmarks.recover import recover
from tests.benchmarks.report import surroundings
from tests.benchmarks.stage import Stage, prepared

PARTS: Mapping[str, tuple[Part, str]] = {
    "floors": (floors, "Postgres alone in groups of 50, and the broker alone with bundles of 50"),
    "engine": (engine, "a saga of four steps that do nothing outside: sagas/s, CPU and memory"),
    "latency": (latency, "the same saga at a steady rate: from the request until its end is heard"),
    "lead": (lead, "the lead saga against the sandbox: leads ready, and more processes of one step"),
    "growth": (growth, "the cost of a saga when very many have ended before it"),
    "recover": (recover, "everything is killed with thousands of sagas under way, and started again"),
    "flush": (flush, "thousands of tenants whose usage is to be reported"),
}
TEN_MILLION = 10_000_000


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:9} {about}" for name, (_, about) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog=f"parts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help="what to measure; all of it if none is named"
    )
    parser.add_argument(
        "--rounds", type=int, help="of each part, interleaved; medians are shown (default 3, quick 1)"
    )
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it works, no more")
    parser.add_argument(
        "--ten-million", action="store_true", help="growth: 10,000,000 finished sagas, too (90 GB)"
    )
    parser.add_argument(
        "--results", type=Path, help="folder to write to (default tests/benchmarks/results, quick: none)"
    )
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    given.parts = given.parts or list(PARTS)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.results = given.results or (None if given.quick else tables.FOLDER)
    return given


async def bench(given: argparse.Namespace) -> None:
    size = QUICK if given.quick else FULL
    if given.ten_million:
        size = replace(size, finished=(*size.finished, TEN_MILLION))
    told = ""
    async with prepared(say) as stage, AsyncExitStack() as stack:
        measures: dict[str, Measure] = {
            part: await stack.enter_async_context(PARTS[part][0](stage, size)) for part in given.parts
        }
        rounds: dict[str, list[Sequence[Case]]] = {part: [] for part in measures}
        for number in range(1, given.rounds + 1):
            await _round(number, measures, rounds)
            about = await _about(stage, size, number)
            # After each round: who breaks it off keeps what was measured.
            told = _kept(given.results, about, rounds)
    say(told)


def _kept(folder: Path | None, about: Mapping[str, object], rounds: tables.Rounds) -> str:
    return tables.text(tables.parts(about, rounds)) if folder is None else tables.write(folder, about, rounds)


async def _round(
    number: int, measures: Mapping[str, Measure], rounds: Mapping[str, list[Sequence[Case]]]
) -> None:
    for part, measure in measures.items():
        rounds[part].append(await measure())
        for case in rounds[part][-1]:
            told = ", ".join(f"{name} {tables.plain(value)}" for name, value in case.metrics.items())
            say(f"round {number}, {part}, {case.name}: {told}")


async def _about(stage: Stage, size: Size, rounds: int) -> dict[str, object]:
    sources = (stage.services.sources[0], await broker_version(stage.amqp_url))
    return surroundings(sources) | {"rounds": rounds, "size": asdict(size)}


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bench(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
