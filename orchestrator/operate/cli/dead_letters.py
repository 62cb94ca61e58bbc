"""Commands about dead letters."""

import sys
from typing import Annotated
from uuid import UUID

import typer

from contracts.process.postgres import Database
from orchestrator.operate import dead_letters as letters
from orchestrator.operate.cli.options import AnyTenant, Json, Limit, Reason
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

app = typer.Typer(help="What could not be carried out, or not be read.", no_args_is_help=True)

LetterId = Annotated[UUID, typer.Argument(metavar="ID")]


@app.command("list")
def listed(
    tenant: AnyTenant = None,
    everything: Annotated[bool, typer.Option("--all/--open", help="All, or only open ones.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Dead letters, the newest first."""

    async def work(database: Database) -> list[letters.DeadLetter]:
        return await letters.dead_letters(database, tenant_id=tenant, everything=everything, limit=limit)

    perform(on_database(work), tables.dead_letters, as_json=as_json)


@app.command()
def show(
    dead_letter: LetterId,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes, into a pipe or file; audited.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why you look; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """One dead letter, with the texts of its message shortened."""
    if not raw:
        perform(on_database(lambda db: letters.open_letter(db, dead_letter)), tables.opened, as_json=as_json)
        return
    if as_json:
        fail(Exit.USAGE, ["--raw is not JSON: leave --json out"], as_json=True)
    if sys.stdout.isatty():
        fail(Exit.USAGE, ["exact bytes can steer a terminal: send them into a pipe or a file"])

    async def work(database: Database) -> None:
        message = await letters.exact_bytes(database, dead_letter, actor=actor(), reason=reason)
        sys.stdout.buffer.write(message)
        sys.stdout.buffer.flush()

    perform(on_database(work), lambda _: None, as_json=False)


@app.command()
def close(dead_letter: LetterId, reason: Reason, as_json: Json = False) -> None:
    """Say that one is dealt with. Those of a parked saga close with its replay or resolve."""

    async def work(database: Database) -> letters.DeadLetter:
        return await letters.close(database, dead_letter, actor=actor(), reason=reason)

    perform(on_database(work), tables.closed, as_json=as_json)
