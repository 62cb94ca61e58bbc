"""Every table x role x verb x case, tried as that role: what was reached against what may be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.tenancy.catalogue import OWNER, ROLES, Table
from tests.tenancy.expected import (
    BESIDE,
    CASES,
    DELETE,
    DELETE_ALL,
    ENGINE,
    GIVE,
    INSERT,
    LISTED,
    OPERATOR,
    OTHER,
    OWN,
    SELECT,
    STEPS,
    UNLISTED,
    UNSET,
    UPDATE,
    UPDATE_ALL,
    VERBS,
    granted,
    may_hold,
    rows,
)
from tests.tenancy.laboratory import ACME, GLOBEX, REFUSED, Laboratory, Probe

EVERYBODY = (*ROLES, OWNER)

WRITTEN = {
    # A time of work is put off, a letter closed, a step forbidden, an entry signed: what else these roles
    # would write, nobody lets them.
    (STEPS, "work_due"): {"due_at": "now() + interval '1 minute'"},
    (OPERATOR, "dead_letters"): {"status": "'resolved'"},
    (OPERATOR, "work_due"): {"due_at": "now()"},
    (OPERATOR, "effects"): {"state": "'undone'"},
    (ENGINE, "audit"): {"actor": "'orchestrator'"},
}
"""What is written where not every value may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    table: Table
    role: str
    verb: str
    case: str
    expected: int

    def __str__(self) -> str:
        return f"{self.role} {self.verb} {self.table.name}, {self.case}"


@dataclass(frozen=True, slots=True)
class Finding:
    cell: Cell
    reached: int

    @property
    def wrong(self) -> bool:
        """What names no rows must reach neither more nor less, and be refused for want of a grant only. Of
        the rest it is enough whether: a unique index that stops it hides how many it would have reached."""
        cell = self.cell
        if cell.verb in {UPDATE_ALL, DELETE_ALL}:
            return self.reached != (cell.expected if granted(cell.table, cell.role, cell.verb) else REFUSED)
        return (self.reached > 0) != (cell.expected > 0)

    def __str__(self) -> str:
        return f"{self.cell}: reached {self.reached} rows, expected {self.cell.expected}"


def cells(tables: Iterable[Table]) -> list[Cell]:
    return [
        Cell(table=table, role=role, verb=verb, case=case, expected=rows(table, role, verb, case))
        for table in tables
        for role in EVERYBODY
        for verb in VERBS
        for case in CASES
        if _makes_sense(verb, case)
    ]


def _makes_sense(verb: str, case: str) -> bool:
    match verb:
        case "give":
            return case not in {OWN, UNLISTED}
        case "update all" | "delete all":
            return case in {OWN, UNSET, LISTED}
        case _:
            return True


def misgranted(tables: Iterable[Table]) -> list[str]:
    """What a role was granted, and has no business with."""
    return [
        f"{role} was granted {verb} on {table.name}"
        for table in tables
        for role in ROLES
        for verb in (SELECT, INSERT, UPDATE, DELETE)
        if granted(table, role, verb) and not may_hold(role, table.name, verb)
    ]


async def run(laboratory: Laboratory, wanted: Sequence[Cell]) -> list[Finding]:
    reached = await laboratory.reached([_probe(laboratory, cell) for cell in wanted])
    return [Finding(cell, found) for cell, found in zip(wanted, reached, strict=True)]


def _probe(laboratory: Laboratory, cell: Cell) -> Probe:
    row = GLOBEX if cell.case in {OTHER, UNLISTED, BESIDE} and cell.verb != GIVE else ACME
    text = laboratory.texts[cell.table.name][row].replace("'", "''")
    tenant = None if cell.case in {UNSET, LISTED, UNLISTED} else ACME
    bundle = {LISTED: ACME, UNLISTED: ACME, BESIDE: GLOBEX}.get(cell.case)
    return Probe(role=cell.role, tenant=tenant, bundle=bundle, statement=_statement(cell, row, text))


def _statement(cell: Cell, row: str, text: str) -> str:
    table, name = cell.table, f'"{cell.table.name}"'
    mine = f"WHERE tenant_id = '{row}'"
    match cell.verb:
        case "select":
            return f"SELECT tenant_id FROM {name} {mine}"
        case "lock":
            return f"SELECT tenant_id FROM {name} {mine} FOR NO KEY UPDATE"
        case "insert":
            return _insert(table, cell.role, text)
        case "update":
            return f"UPDATE {name} SET {_written(table, cell.role, text)} {mine}"
        case "update all":
            return f"UPDATE {name} SET {_written(table, cell.role, text)}"
        case "give":
            return (
                f"UPDATE {name} SET tenant_id = '{GLOBEX}'"  # to read nothing leaves it to this policy alone
            )
        case "delete":
            return f"DELETE FROM {name} {mine}"
        case _:
            return f"DELETE FROM {name}"


def _insert(table: Table, role: str, text: str) -> str:
    columns = [column.name for column in table.columns if not column.given]
    may = [name for name in table.granted(role, "INSERT") if name in columns] or columns
    values = {name: f'"{name}"' for name in may} | {
        name: value for name, value in _values(table, role).items() if name in may
    }
    names = ", ".join(f'"{name}"' for name in may)
    record = f"jsonb_populate_record(NULL::\"{table.name}\", '{text}')"
    return f'INSERT INTO "{table.name}" ({names}) SELECT {", ".join(values.values())} FROM {record}'


def _written(table: Table, role: str, text: str) -> str:
    """The last column that the role may change: the first ones are keys."""
    special = _values(table, role)
    if special:
        return ", ".join(f'"{name}" = {value}' for name, value in special.items())
    keys = {"tenant_id"}
    may = [name for name in table.granted(role, "UPDATE") if name not in keys]
    name = (may or [column.name for column in table.columns if column.name not in keys])[-1]
    return f'"{name}" = (jsonb_populate_record(NULL::"{table.name}", \'{text}\'))."{name}"'


def _values(table: Table, role: str) -> dict[str, str]:
    return WRITTEN.get((role, table.name), {})


def told(found: Iterable[Finding], role: str) -> Iterator[tuple[str, str]]:
    """What a role may do in each table, in a few letters: `sIu` is select and update of the tenant's own
    rows, and insert for any tenant."""
    by_table: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.cell.role == role:
            by_table.setdefault(finding.cell.table.name, []).append(finding)
    for table, findings in by_table.items():
        letters = "".join(_letter(verb, findings) for verb in (SELECT, INSERT, UPDATE, DELETE))
        yield table, letters or "-"


def _letter(verb: str, findings: list[Finding]) -> str:
    reached = {each.cell.case: each.reached > 0 for each in findings if each.cell.verb == verb}
    if reached[OTHER]:
        return verb[0].upper()
    if reached[UNSET]:
        return f"{verb[0]}°"
    if reached[LISTED]:
        return f"{verb[0]}+"
    return verb[0] if reached[OWN] else ""
