"""What the rounds came to: medians and spread, as JSON and as tables."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.parts import Case
from tests.benchmarks.svg import bars

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return plain(self.median)
        return f"{plain(self.median)} ({plain(self.least)}..{plain(self.most)})"


Rounds = Mapping[str, Sequence[Sequence[Case]]]
"""What each part measured in each round."""
Summary = dict[str, dict[str, dict[str, Spread]]]
"""By part, case and metric."""


def plain(value: float) -> str:
    """Three digits that count, as people write them."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else "0"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def summary(rounds: Rounds) -> Summary:
    return {part: _cases(measured) for part, measured in rounds.items()}


def _cases(rounds: Sequence[Sequence[Case]]) -> dict[str, dict[str, Spread]]:
    values: dict[str, dict[str, list[float]]] = {}
    for case in (case for measured in rounds for case in measured):
        for metric, value in case.metrics.items():
            values.setdefault(case.name, {}).setdefault(metric, []).append(value)
    return {name: {metric: spread(each) for metric, each in of.items()} for name, of in values.items()}


def against_floors(rounds: Rounds) -> dict[str, Spread]:
    """Ours as a part of what each floor does, within the same rounds."""
    ratios: dict[str, list[float]] = {}
    for floors, ours in zip(rounds.get("floors", ()), rounds.get("engine", ()), strict=False):
        for case in ours:
            for floor in floors:
                name = f"engine, {case.name}, of {floor.name}"
                ratio = case.metrics["sagas/s"] / floor.metrics["sagas/s"]
                ratios.setdefault(name, []).append(ratio)
    return {name: spread(each) for name, each in ratios.items()}


@dataclass(frozen=True, slots=True)
class Part:
    """What one part came to, and where and how it was measured."""

    about: Mapping[str, Any]
    found: Mapping[str, Mapping[str, Spread]]
    ratios: Mapping[str, Spread] = field(default_factory=dict)
    """Against the floors of the same rounds, if those were measured too."""


def parts(about: Mapping[str, Any], rounds: Rounds) -> dict[str, Part]:
    ratios = against_floors(rounds)
    return {
        part: Part(about, cases, ratios if part == "engine" else {})
        for part, cases in summary(rounds).items()
    }


def text(measured: Mapping[str, Part]) -> str:
    lines = ["# Benchmarks", "", "Medians of the rounds; least and most in brackets."]
    about: Mapping[str, Any] = {}
    for name, part in measured.items():
        lines += ["", f"## {name}", ""]
        if part.about != about:
            about = part.about
            lines += [*(f"- {what}: {words(value)}" for what, value in about.items()), ""]
        lines += table(part.found)
        if part.ratios:
            lines += ["", "Against the floors of the same rounds:", "", "| | ratio |", "|---|--:|"]
            lines += [f"| {what} | {each} |" for what, each in part.ratios.items()]
    return "\n".join(lines) + "\n"


def table(cases: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    metrics = list(dict.fromkeys(metric for of in cases.values() for metric in of))
    head = ["| | " + " | ".join(metrics) + " |", "|---|" + "--:|" * len(metrics)]
    return head + [
        f"| {name} | " + " | ".join(str(of[metric]) if metric in of else "" for metric in metrics) + " |"
        for name, of in cases.items()
    ]


def words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def write(folder: Path, about: Mapping[str, Any], rounds: Rounds) -> str:
    """bench.json, bench.md and a plot for each part. Parts that were not measured this time keep what was
    found the last time. Returns the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bench.json"
    told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, part in parts(about, rounds).items():
        told[name] = asdict(part) | {"rounds": [[asdict(case) for case in each] for each in rounds[name]]}
        metric = next(iter(next(iter(part.found.values()))))
        shown = {
            case: (of[metric].least, of[metric].median, of[metric].most) for case, of in part.found.items()
        }
        (folder / f"bench-{name}.svg").write_text(bars(f"{name}: {metric}", shown), encoding="utf-8")
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    tables = text({name: _read(part) for name, part in told.items()})
    (folder / "bench.md").write_text(tables, encoding="utf-8")
    return tables


def _read(told: Mapping[str, Any]) -> Part:
    found = {case: _spreads(of) for case, of in told["found"].items()}
    return Part(told["about"], found, _spreads(told["ratios"]))


def _spreads(told: Mapping[str, Any]) -> dict[str, Spread]:
    return {name: Spread(**each) for name, each in told.items()}
