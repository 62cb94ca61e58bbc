"""Every SQL statement that the processes and the operators' tool execute, read from the code."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.store.queries import QUERIES

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "leadsaga_engine": "orchestrator/run",
    "leadsaga_steps": "steps",
    "leadsaga_operator": "orchestrator/operate",
}
OF_THE_ADMINISTRATOR = frozenset({"migrate", "role_passwords", "collisions"})
"""Modules of orchestrator/operate that work in no role."""
OF_THE_STEPS = frozenset({"reseal"})
"""Modules there that work as the steps do."""
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")


def collected() -> list[dict[str, str]]:
    """`role`, `name` and `sql` of each. Statements are the entries of queries.sql, constants of modules, or
    texts given to a call; a test holds the list against what a recorded run executed."""
    found = [
        {"role": "leadsaga_engine", "name": f"queries.sql {query.name}", "sql": query.sql}
        for query in QUERIES.values()
    ]
    for role, folder in FOLDERS.items():
        for file in [*_files("contracts/process"), *_files(folder)]:
            works_as = "leadsaga_steps" if file.stem in OF_THE_STEPS else role
            found += [{"role": works_as, "name": name, "sql": sql} for name, sql in _of(file)]
    return found


def _files(folder: str) -> list[Path]:
    return [file for file in sorted((ROOT / folder).rglob("*.py")) if file.stem not in OF_THE_ADMINISTRATOR]


def _of(file: Path) -> Iterator[tuple[str, str]]:
    place = file.relative_to(ROOT)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if not any(STATEMENT.match(node.value) for node in ast.walk(tree) if _is_text(node)):
        return
    module = importlib.import_module(".".join(place.with_suffix("").parts))
    for name, value in vars(module).items():
        if isinstance(value, str) and STATEMENT.match(value):
            yield f"{place} {name}", value
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            for argument in call.args:
                if _is_text(argument) and STATEMENT.match(argument.value):
                    yield f"{place} line {call.lineno}", argument.value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
