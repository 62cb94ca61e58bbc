"""Every policy dropped or weakened, every table unprotected, one at a time: the matrix has to see each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.tenancy.catalogue import Policy, Table
from tests.tenancy.conditions import CONDITIONS, unmet
from tests.tenancy.laboratory import Laboratory
from tests.tenancy.matrix import cells, run

NOBODY_IS_SET = "(SELECT current_tenant()) IS NULL"
WHOLE = "all of it"
USING, CHECK = "USING", "WITH CHECK"


@dataclass(frozen=True, slots=True)
class Mutant:
    table: str
    says: str
    statement: str


def mutants(table: Table) -> Iterator[Mutant]:
    name = table.name
    yield Mutant(name, "row-level security is off", f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
    yield Mutant(name, "its owner is free", f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    for policy in table.policies:
        yield Mutant(name, f"{policy.name} dropped", f"DROP POLICY {policy.name} ON {name}")
        for clauses in _weaker(table, policy):
            weaker = " ".join(f"{clause} ({expression})" for clause, expression in clauses.items())
            yield Mutant(name, f"{policy.name} {weaker}", f"ALTER POLICY {policy.name} ON {name} {weaker}")


def _weaker(table: Table, policy: Policy) -> Iterator[dict[str, str]]:
    """Clauses to put in place of its own. A role that adds no rows can only change those that USING lets it
    reach: what CHECK asks again of a column that stays as it is is missed only where USING does not ask for
    it."""
    using, check = policy.using, policy.check
    adds = any(table.granted(role, "INSERT") for role in policy.roles) and policy.command in {"ALL", "INSERT"}
    for weaker in _weakened(using):
        yield {USING: weaker}
    for weaker, gone in _weakened_with(check):
        if using is None or adds or gone == WHOLE:
            yield {CHECK: weaker}
        elif gone == NOBODY_IS_SET:
            yield {USING: f"{using} OR {NOBODY_IS_SET}", CHECK: weaker}
        else:
            in_both = {USING: using.replace(gone, "true")} if gone in using else {}
            yield {**in_both, CHECK: weaker}


def _weakened(expression: str | None) -> Iterator[str]:
    for weaker, _ in _weakened_with(expression):
        yield weaker


def _weakened_with(expression: str | None) -> Iterator[tuple[str, str]]:
    """With what is missing from it, or was added."""
    if expression is None or expression == "true":
        return
    yield "true", WHOLE
    if "current_tenant()" in expression and "IS NULL" not in expression:
        yield f"{expression} OR {NOBODY_IS_SET}", NOBODY_IS_SET
    for begin, end in conjuncts(expression):
        yield f"{expression[:begin]}true{expression[end:]}", expression[begin:end]


def conjuncts(expression: str) -> Iterator[tuple[int, int]]:
    """Where each part of each AND stands. Postgres prints every one of them in parentheses."""
    for begin, end in _groups(expression):
        after, before = expression[end:], expression[:begin]
        if re.match(r"\s+AND\b", after) or re.search(r"\bAND\s+$", before):
            yield begin, end


def _groups(expression: str) -> Iterator[tuple[int, int]]:
    open_ones: list[int] = []
    for place, letter in enumerate(expression):
        if letter == "(":
            open_ones.append(place)
        elif letter == ")":
            yield open_ones.pop(), place + 1


async def seen(laboratory: Laboratory, mutant: Mutant) -> list[str]:
    """What the matrix says of it; empty if it survives."""
    return await seen_after(laboratory, mutant.table, mutant.statement)


async def seen_after(laboratory: Laboratory, table: str, statement: str) -> list[str]:
    unit = laboratory.connection.transaction()
    await unit.start()
    try:
        await laboratory.connection.execute(statement)
        found = await run(laboratory, cells([laboratory.table(table)]))
        wrong = [str(each) for each in found if each.wrong]
        return wrong or await unmet(laboratory, [each for each in CONDITIONS if each.table == table])
    finally:
        await unit.rollback()
