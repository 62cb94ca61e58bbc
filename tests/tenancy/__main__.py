"""`python -m tests.tenancy`: who reaches which rows, tried as each role. Exit code 1 when anything is not as
it is written in expected.py.

`--mutants` drops and weakens every policy, too, and says which of that nobody noticed.
"""

import asyncio
import sys
from dataclasses import dataclass, field

import asyncpg
from rich.console import Console
from rich.table import Table as Printed

from deploy.local.place import temporary
from deploy.local.services import services
from tests.kit.database import cloned, drop, make_template
from tests.tenancy.catalogue import OWNER
from tests.tenancy.conditions import CONDITIONS, unmet
from tests.tenancy.laboratory import Laboratory, laboratory
from tests.tenancy.matrix import EVERYBODY, Finding, cells, misgranted, run, told
from tests.tenancy.mutants import mutants, seen
from tests.tenancy.rules import RULES, broken

LEGEND = (
    "s select, i insert, u update, d delete: rows of the tenant that is set, and nothing while none is set;\n"
    "capital: rows of all tenants; °: of all while no tenant is set, of its own while one is;\n"
    "+: of all tenants of a bundle while none is set, of its own while one is."
)


@dataclass(slots=True)
class Proof:
    findings: list[Finding]
    faults: list[str]
    """What breaks a rule, was granted for nothing, or does not hold a condition."""
    mutants: int = 0
    survivors: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        reached = [str(each) for each in self.findings if each.wrong]
        return [*reached, *self.faults, *(f"nobody noticed: {each}" for each in self.survivors)]


async def prove(database_url: str, *, with_mutants: bool) -> Proof:
    """On a database with the schema, which is of no other use afterwards."""
    connection = await asyncpg.connect(database_url)
    faults = await broken(connection)
    await connection.close()
    async with laboratory(database_url) as spare:
        proof = Proof(
            findings=await run(spare, cells(spare.tables)),
            faults=[*faults, *misgranted(spare.tables), *await unmet(spare)],
        )
        if with_mutants:
            await _mutate(spare, proof)
    return proof


async def _mutate(spare: Laboratory, proof: Proof) -> None:
    for table in spare.tables:
        for mutant in mutants(table):
            proof.mutants += 1
            if not await seen(spare, mutant):
                proof.survivors.append(f"{mutant.table}: {mutant.says}")


def show(console: Console, proof: Proof) -> None:
    printed = Printed(title="Who reaches which rows", title_justify="left")
    printed.add_column("table")
    lines: dict[str, list[str]] = {}
    for role in EVERYBODY:
        printed.add_column(role.removeprefix("leadsaga_"))
        for table, letters in told(proof.findings, role):
            lines.setdefault(table, []).append(letters)
    for table, letters in lines.items():
        printed.add_row(table, *letters)
    console.print(printed)
    console.print(LEGEND, highlight=False)
    for line in proof.wrong:
        console.print(f"WRONG: {line}", markup=False, highlight=False)
    roles = len(EVERYBODY)
    console.print(
        f"{len(lines)} tables, {roles} roles ({OWNER.removeprefix('leadsaga_')} included), "
        f"{len(proof.findings)} statements tried, {len(CONDITIONS)} further conditions, "
        f"{len(RULES)} rules of the schema"
        + (f", {proof.mutants} mutants" if proof.mutants else "")
        + f": {len(proof.wrong) or 'nothing'} wrong",
        highlight=False,
    )


async def main(*, with_mutants: bool) -> int:
    with temporary() as directory:
        async with services(directory, durable=False, say=lambda _: None) as found:
            template = await make_template(found.database_url)
            try:
                async with cloned(found.database_url, template) as url:
                    proof = await prove(url, with_mutants=with_mutants)
            finally:
                await drop(found.database_url, template)
    show(Console(soft_wrap=True), proof)
    return 1 if proof.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(with_mutants="--mutants" in sys.argv[1:])))
