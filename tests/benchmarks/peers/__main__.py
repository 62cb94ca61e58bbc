"""`make bench-peers`: the same saga on DBOS, Taskiq, Celery and Restate, in turn with ours.

Each peer runs at the best settings that were found for it. One that is not installed is left out, and why.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import uvloop

from tests.benchmarks import tables
from tests.benchmarks.engine import TYPICAL, engine, latency
from tests.benchmarks.parts import FULL, QUICK, Case, Size
from tests.benchmarks.peers import figures
from tests.benchmarks.peers.contest import measured
from tests.benchmarks.peers.environment import PeerMissing, versions
from tests.benchmarks.peers.roster import OURS_UNLIKE, PEERS, Peer
from tests.benchmarks.peers.running import PeerFailed
from tests.benchmarks.place import broker_version
from tests.benchmarks.report import surroundings
from tests.benchmarks.stage import Stage, prepared

RATE = 50
SIZE = replace(FULL, tenants=(TYPICAL, 1), rates=(RATE,))
SMALL = replace(QUICK, warm=2, window=5, tenants=(TYPICAL, 1), rates=(RATE,))

Say = Callable[[str], None]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument(
        "peers", nargs="*", metavar="peer", help=f"of {', '.join(PEERS)}; all if none is named"
    )
    parser.add_argument("--rounds", type=int, help="interleaved; medians are shown (default 3, quick 1)")
    parser.add_argument("--quick", action="store_true", help="short: shows that it works, no more")
    parser.add_argument(
        "--results", type=Path, help="folder to write to (default tests/benchmarks/results, quick: none)"
    )
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.peers) - set(PEERS))
    if unknown:
        parser.error(f"there is no peer {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    given.peers = given.peers or list(PEERS)
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.results = given.results or (None if given.quick else tables.FOLDER)
    return given


async def contest(given: argparse.Namespace) -> None:
    size = SMALL if given.quick else SIZE
    skipped: dict[str, str] = {}
    about: dict[str, object] = {}
    peers = []
    for peer in (PEERS[name] for name in given.peers):
        try:
            found = await versions(peer)
        except PeerMissing as why:
            skipped[peer.name] = str(why)
            say(f"{peer.name} is left out: {why}")
        else:
            peers.append(peer)
            about[peer.name] = f"{tables.words(found)}; {peer.settings}; {peer.in_flight} in flight"
    async with prepared(say) as stage:
        rounds = await _rounds(stage, size, peers, given.rounds, skipped)
        sources = (stage.services.sources[0], await broker_version(stage.amqp_url))
    about = surroundings(sources) | {"rounds": given.rounds, "seconds measured": size.window} | about
    unlike = {"Ours": OURS_UNLIKE} | {peer.name: peer.unlike for peer in peers}
    if given.results is None:
        say(figures.text(about, rounds, skipped, unlike))
    else:
        say(figures.write(given.results, about, rounds, skipped, unlike))


async def _rounds(
    stage: Stage, size: Size, peers: Sequence[Peer], rounds: int, skipped: dict[str, str]
) -> list[list[Case]]:
    """A peer that fails is left out from then on."""
    found: list[list[Case]] = []
    async with AsyncExitStack() as stack:
        saturated = await stack.enter_async_context(engine(stage, size))
        steady = await stack.enter_async_context(latency(stage, size))
        for number in range(1, rounds + 1):
            cases = ours(await saturated(), await steady())
            for peer in peers:
                if peer.name not in skipped:
                    cases += await _tried(measured(stage, size, peer), peer, number, skipped)
            for case in cases:
                told = ", ".join(f"{name} {tables.plain(value)}" for name, value in case.metrics.items())
                say(f"round {number}, {case.name}: {told}")
            found.append(cases)
    return found


def ours(saturated: Sequence[Case], steady: Sequence[Case]) -> list[Case]:
    """In the words of the peers' table. Latency is that of the typical number of tenants, the first case."""
    waits = {name: steady[0].metrics[name] for name in ("p50 ms", "p95 ms", "p99 ms")}
    cases: list[Case] = []
    for case in saturated:
        shown = {"sagas/s": case.metrics["sagas/s"]} | figures.costs(
            {name: value for name, value in case.metrics.items() if name.startswith("CPU ms")}
        )
        more = {} if cases else {"latency at /s": float(RATE), **waits}
        cases.append(Case(f"{figures.OURS}, {case.name}", shown | more))
    return cases


async def _tried(measuring: Awaitable[Case], peer: Peer, number: int, skipped: dict[str, str]) -> list[Case]:
    try:
        return [await measuring]
    except PeerFailed as why:
        skipped[peer.name] = f"failed in round {number}: {str(why).splitlines()[0]}"
        say(f"{peer.name} failed: {why}")
        return []


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(contest(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
