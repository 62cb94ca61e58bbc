"""The failure matrix of orchestrator/README.md: each row names tests, and they exist."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MATRIX = REPOSITORY / "orchestrator" / "README.md"
HEADING = "## What happens if"
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
FEWEST_ROWS = 40


def rows() -> list[tuple[str, str]]:
    """(failure, the cell that names its tests) of each row."""
    section = MATRIX.read_text(encoding="utf-8").split(HEADING, 1)[1].split("\n## ", 1)[0]
    lines = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(cells[0].strip(), cells[-1]) for cells in lines if len(cells) == 3 and cells[0].strip() != "if"]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_matrix_has_rows() -> None:
    assert len(rows()) >= FEWEST_ROWS
    assert len({failure for failure, _ in rows()}) == len(rows())


@pytest.mark.parametrize(("failure", "proof"), rows(), ids=[failure for failure, _ in rows()])
def test_each_failure_is_proved_by_tests_that_exist(failure: str, proof: str) -> None:
    named = TEST.findall(proof)
    assert named, f"no test is named for: {failure}"
    for path, function in named:
        file = REPOSITORY / path
        assert file.is_file(), path
        assert any(name.startswith("test_") for name in functions_of(file)), path
        assert not function or function in functions_of(file), f"{path}::{function}"
