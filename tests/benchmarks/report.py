"""What was measured, where, and with what, for people."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.rss import MOST_MB, MOST_PERCENT, Verdicts, flat

PACKAGES = ("faststream", "aio-pika", "asyncpg", "pydantic", "uvloop")


def surroundings(sources: tuple[str, ...]) -> dict[str, Any]:
    memory = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    return {
        "machine": f"{_processors()} processors, {int(memory) // 1024**2} GB, {platform.machine()}",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "services": [source.partition(" from ")[0] for source in sources],
    }


def _processors() -> int:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8").count("\nprocessor") + 1


def table(verdicts: Verdicts, done: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    bound = f"growth after the warm-up is to stay below {MOST_PERCENT:g} % and {MOST_MB:g} MB"
    lines = [
        "# Memory of the processes",
        "",
        f"{'Flat' if flat(verdicts) else 'NOT flat'}: {bound}.",
        "Resident memory in MB; `highest` is the largest median of ten seconds.",
        "",
        *(f"- {name}: {_words(value)}" for name, value in about.items()),
        *(f"- after {phase}: {_words(value)}" for phase, value in done.items()),
    ]
    for phase, of in verdicts.items():
        lines += [
            "",
            f"## {phase}",
            "",
            "| process | warm | highest | end | peak | growth | |",
            "|---|--:|--:|--:|--:|--:|---|",
        ]
        lines += [
            f"| {name} | {each.warm} | {each.highest} | {each.end} | {each.peak}"
            f" | {each.growth:+} ({each.percent:+} %) | {'flat' if each.flat else 'GROWS'} |"
            for name, each in of.items()
        ]
    return "\n".join(lines) + "\n"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
