"""Reads `queries.sql`: every statement has a name, and says in one line what it is for."""

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"^-- name: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    name: str
    purpose: str
    sql: str


class BadQuery(ValueError):
    """a statement needs a name of its own, a line that says what it is for, and a text"""


def parse(text: str) -> dict[str, Query]:
    """Raises BadQuery."""
    queries: dict[str, Query] = {}
    for part in _HEAD.split(text)[1:]:
        name, _, rest = part.partition("\n")
        purpose, _, sql = rest.partition("\n")
        if not (purpose.startswith("-- ") and sql.strip()) or name in queries:
            raise BadQuery(f"{name}: {BadQuery.__doc__}")
        queries[name] = Query(name, purpose.removeprefix("-- "), sql.strip().removesuffix(";"))
    return queries


QUERIES = parse(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8"))


def sql(name: str) -> str:
    """Raises KeyError for a name that is not in the file."""
    return QUERIES[name].sql
