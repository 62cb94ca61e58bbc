"""What the rounds of ours and of the peers came to, side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.parts import Case, Metrics
from tests.benchmarks.svg import bars
from tests.benchmarks.tables import Spread, spread, summary, table, words

OURS = "ours"
"""Cases of ours begin so."""
TIMES = "ours does, times"


def costs(cost: Mapping[str, float]) -> Metrics:
    """CPU by who the peers have in common. `engine` is the broker, or the peer's own server; `client` is the
    load, wherever it runs, and not part of `all`."""
    of = {name.removeprefix("CPU ms: "): value for name, value in cost.items()}
    engine = of.get("engine", of.get("broker", 0.0))
    client = of["client"] + of.get("load", 0.0)
    shown = {"all": of["python"] + engine + of["database"], "python": of["python"], "engine": engine}
    shown |= {"database": of["database"], "client": client}
    return {f"CPU ms: {name}": value for name, value in shown.items()}


def against_ours(rounds: Sequence[Sequence[Case]]) -> dict[str, Spread]:
    """How many times as many sagas ours (its first case) ends in a second, within the same rounds."""
    times: dict[str, list[float]] = {}
    for cases in rounds:
        ours = next(case for case in cases if case.name.startswith(OURS))
        for case in cases:
            ratio = ours.metrics["sagas/s"] / case.metrics["sagas/s"]
            times.setdefault(case.name, []).append(ratio)
    return {name: spread(each) for name, each in times.items()}


def text(
    about: Mapping[str, Any],
    rounds: Sequence[Sequence[Case]],
    skipped: Mapping[str, str],
    unlike: Mapping[str, str],
) -> str:
    times = against_ours(rounds)
    shown = {
        name: {"sagas/s": of["sagas/s"], TIMES: times[name], **of}
        for name, of in summary({"peers": rounds})["peers"].items()
    }
    lines = [
        "# Ours beside its peers",
        "",
        "The same work, on the same machine, in turn: medians of the rounds; least and most in brackets.",
        "",
        *(f"- {name}: {words(value)}" for name, value in about.items()),
        *(f"- not measured: {name}: {why}" for name, why in skipped.items()),
        "",
        *table(shown),
        "",
        "## What is not equal",
        "",
        *(f"- **{name}**: {how}" for name, how in unlike.items()),
        "- Latency in the table is at a steady rate. In the closed loop it is but the length of the line.",
    ]
    return "\n".join(lines) + "\n"


def write(
    folder: Path,
    about: Mapping[str, Any],
    rounds: Sequence[Sequence[Case]],
    skipped: Mapping[str, str],
    unlike: Mapping[str, str],
) -> str:
    """peers.json, peers.md and peers.svg. Returns the text."""
    folder.mkdir(parents=True, exist_ok=True)
    found = summary({"peers": rounds})["peers"]
    told = {
        "about": about,
        "skipped": skipped,
        "rounds": [[asdict(case) for case in cases] for cases in rounds],
        "summary": {
            name: {metric: asdict(each) for metric, each in of.items()} for name, of in found.items()
        },
        "against ours": {name: asdict(each) for name, each in against_ours(rounds).items()},
    }
    (folder / "peers.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    rates = {name: of["sagas/s"] for name, of in found.items()}
    shown = {name: (each.least, each.median, each.most) for name, each in rates.items()}
    (folder / "peers.svg").write_text(bars("the same saga: sagas/s", shown), encoding="utf-8")
    made = text(about, rounds, skipped, unlike)
    (folder / "peers.md").write_text(made, encoding="utf-8")
    return made
