"""What the processes executed, transaction by transaction, read from the server's own log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.services import Services

SETTINGS = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "executed",
    "log_rotation_age": "0",
    "log_statement": "all",
}
EXECUTED = re.compile(r"^(?:execute [^:]+|statement): (.*)$", re.DOTALL)
PARAMETER = re.compile(r"\$\d+ = (NULL|'(?:[^']|'')*')")
OF_THE_DRIVER = ("typeinfo_tree", "'jit'")
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")
ROLES = {"leadsaga orchestrator": "leadsaga_engine", "leadsaga operator": "leadsaga_operator"}


async def begin(found: Services) -> Path:
    """Starts the server again. The directory that it writes to from now on."""
    assert found.postgres is not None
    admin = await asyncpg.connect(found.database_url)
    for name, value in SETTINGS.items():
        await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    data = Path(await admin.fetchval("SHOW data_directory"))
    await admin.close()
    await found.postgres.stop()
    await found.postgres.start()
    return data / "executed"


def transactions(directory: Path, database: str) -> dict[str, list[Any]]:
    """`statements`, and `transactions` in the order of their commits: the role, and for each statement its
    place in the list and its parameters as SQL literals. What is repeated to the letter is there once, and so
    is what only read."""
    statements: dict[str, int] = {}
    found: list[Any] = []
    seen = set[str]()
    for role, executed in _committed(_lines(directory, database)):
        steps = [[statements.setdefault(sql, len(statements)), parameters] for sql, parameters in executed]
        reads = not any(WRITES.search(sql) for sql, _ in executed)
        shape = json.dumps([role, [number for number, _ in steps] if reads else steps])
        if shape not in seen:
            found.append([role, steps])
        seen.add(shape)
    return {"statements": list(statements), "transactions": found}


def _lines(directory: Path, database: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Session, application, statement, parameters."""
    for file in sorted(directory.glob("*.json")):
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            executed = EXECUTED.match(said.get("message", ""))
            if executed and said.get("dbname") == database:
                parameters = PARAMETER.findall(said.get("detail", ""))
                application = str(said.get("application_name", ""))
                yield said["session_id"], application, executed[1].strip(), parameters


def _committed(lines: Iterator[tuple[str, str, str, list[str]]]) -> Iterator[tuple[str, list[Any]]]:
    """What was rolled back, wholly or to a savepoint, is left out."""
    open_: dict[str, list[Any]] = {}
    for session, application, sql, parameters in lines:
        word = sql.upper().partition(" ")[0].rstrip(";")
        if not application.startswith("leadsaga ") or any(sign in sql for sign in OF_THE_DRIVER):
            continue
        if word == "BEGIN":
            open_[session] = []
        elif session not in open_:
            continue
        elif word == "COMMIT":
            if executed := [each for each in open_.pop(session) if each[0] is not None]:
                yield ROLES.get(application, "leadsaga_steps"), executed
        elif word == "ROLLBACK" and " TO " in sql:
            done = open_[session]
            del done[max(place for place, each in enumerate(done) if each[0] is None) :]
        elif word == "ROLLBACK":
            open_.pop(session)
        elif word == "SAVEPOINT":
            open_[session].append((None, parameters))
        elif word != "RELEASE":
            open_[session].append((sql, parameters))
