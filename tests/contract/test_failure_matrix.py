"""The failure matrix of orchestrator/README.md: each row names tests, and they exist."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MATRIX = REPOSITORY / "orchestrator" / "README.md"
HEADING = "## What happens if"
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
COLUMNS = ("if", "then", "proved by")
FEWEST_ROWS = 40


def cells() -> list[list[str]]:
    """Of each row, the heading left out."""
    section = MATRIX.read_text(encoding="utf-8").split(HEADING, 1)[1].split("\n## ", 1)[0]
    lines = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[1:]]


def rows() -> list[tuple[str, str]]:
    """(failure, the cell that names its tests)."""
    return [(row[0], row[-1]) for row in cells()]


def names_in(file: Path) -> set[str]:
    """Of its tests."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_the_matrix_has_rows() -> None:
    assert len(rows()) >= FEWEST_ROWS
    assert len({failure for failure, _ in rows()}) == len(rows())
    assert [] == [row for row in cells() if len(row) != len(COLUMNS)]


@pytest.mark.parametrize(("failure", "proof"), rows(), ids=[failure for failure, _ in rows()])
def test_each_failure_is_proved_by_tests_that_exist(failure: str, proof: str) -> None:
    named = TEST.findall(proof)
    assert named, f"no test is named for: {failure}"
    for path, function in named:
        file = REPOSITORY / path
        assert file.is_file(), path
        assert names_in(file), path
        assert not function or function in names_in(file), f"{path}::{function}"
