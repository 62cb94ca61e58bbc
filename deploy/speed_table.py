"""The README's tables of speed, from what `make bench` and `make bench-peers` left in their results."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "tests" / "benchmarks" / "results"
NOT_MEASURED = "not measured yet"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what is measured, where it stands in the results, what is aimed at."""

    what: str
    of: Callable[[dict[str, Any]], str]
    goal: str


def peers_table() -> str:
    """Medians, and how many times as many sagas ours ends, within the same rounds."""
    told = _read("peers.json")
    if not told:
        return NOT_MEASURED
    lines = ["| | sagas/s | ours does, times | CPU ms a saga | p50 ms |", "|---|--:|--:|--:|--:|"]
    for name, of in told["summary"].items():
        times = told["against ours"][name]["median"]
        lines.append(
            f"| {name} | {_number(of, 'sagas/s')} | {times:.1f} | {_number(of, 'CPU ms: all')} | {_p50(of)} |"
        )
    return "\n".join(lines)


def _p50(of: dict[str, Any]) -> str:
    """At a steady rate, which is lower for who cannot do as many."""
    return f"{_number(of, 'p50 ms')} at {_number(of, 'latency at /s')}/s" if "latency at /s" in of else ""


def goals_table() -> str:
    told = _read("bench.json")
    lines = ["| | measured | aimed at |", "|---|--:|--:|"]
    for figure in FIGURES:
        try:
            measured = figure.of(told)
        except KeyError:
            measured = NOT_MEASURED
        lines.append(f"| {figure.what} | {measured} | {figure.goal} |")
    return "\n".join(lines)


def _read(name: str) -> dict[str, Any]:
    file = RESULTS / name
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _case(told: dict[str, Any], part: str, begins: str) -> dict[str, Any]:
    """Raises KeyError."""
    for name, of in told[part]["found"].items():
        if name.startswith(begins):
            found: dict[str, Any] = of
            return found
    raise KeyError(begins)


def _number(of: dict[str, Any], metric: str) -> str:
    return _plain(of[metric]["median"])


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _engine(metric: str) -> Callable[[dict[str, Any]], str]:
    return lambda told: _number(_case(told, "engine", "100 tenants"), metric)


def _latency(rate: int, *metrics: str) -> Callable[[dict[str, Any]], str]:
    return lambda told: " / ".join(_number(_case(told, "latency", f"{rate} "), each) for each in metrics)


def _of_floor(told: dict[str, Any]) -> str:
    (ratio,) = _ratios(told)
    return f"{ratio:.2f}"


def _ratios(told: dict[str, Any]) -> Iterator[float]:
    for name, each in told["engine"]["ratios"].items():
        if name.startswith("engine, 100 tenants") and "asyncpg" in name:
            yield each["median"]


def _growth(told: dict[str, Any]) -> str:
    empty, full = (
        _case(told, "growth", f"{finished} finished")["CPU ms: all"]["median"]
        for finished in ("0", "1,000,000")
    )
    return f"{full / empty:.2f}"


FIGURES = (
    Figure("sagas/s, 100 tenants", _engine("sagas/s"), "2,000"),
    Figure("... of what Postgres alone does in groups of 50, same rounds", _of_floor, "0.2"),
    Figure("CPU ms a saga, whole system", _engine("CPU ms: all"), "1.0"),
    Figure("50/s: p50 / p99 ms", _latency(50, "p50 ms", "p99 ms"), "20 / 40"),
    Figure("500/s: p99 ms", _latency(500, "p99 ms"), "100"),
    Figure(
        "lead request to leads ready, no vendor delay: p50 ms",
        lambda told: _number(_case(told, "lead", "no vendor delay, one after another"), "p50 ms"),
        "100",
    ),
    Figure("CPU a saga with 1,000,000 finished ones, times that with none", _growth, "1.2"),
    Figure(
        "10,000 sagas in flight, everything killed: seconds until all have ended",
        lambda told: _number(_case(told, "recover", "10,000"), "until all have ended s"),
        "20",
    ),
    Figure("orchestrator, MB", _engine("orchestrator MB"), "150"),
)
