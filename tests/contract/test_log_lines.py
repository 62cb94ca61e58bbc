"""Whoever is woken by a line of a log finds it in deploy/RUNBOOK.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.process.postgres import AGAIN, AWAY, log_name

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("contracts", "orchestrator", "steps")
LOUD = {"warning", "error"}


def _lines() -> Iterator[str]:
    for package in PACKAGES:
        for file in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(str(name)), *_]):
                        if level in LOUD:
                            yield name
    yield from {log_name(error("")) for error in (*AWAY, *AGAIN)}


@pytest.mark.parametrize("line", sorted(set(_lines())))
def test_every_line_that_warns_is_in_the_runbook(line: str) -> None:
    runbook = (REPOSITORY / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
    assert re.search(rf"`{line}`", runbook)
