"""Commands about dead letters. Without a subcommand they are listed."""

import sys
from typing import Annotated
from uuid import UUID

import typer

from contracts.process.postgres import Database
from orchestrator.operate import dead_letters as letters
from orchestrator.operate.cli.options import AnyTenant, Json, Limit
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

app = typer.Typer(help="What could not be carried out, or not be read.", invoke_without_command=True)


@app.callback()
def listed(
    context: typer.Context,
    tenant: AnyTenant = None,
    everything: Annotated[bool, typer.Option("--all/--open", help="All, or only open ones.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Dead letters, the newest first."""
    if context.invoked_subcommand is not None:
        return

    async def work(database: Database) -> list[letters.DeadLetter]:
        return await letters.dead_letters(database, tenant_id=tenant, everything=everything, limit=limit)

    perform(on_database(work), tables.dead_letters, as_json=as_json)


@app.command()
def show(
    dead_letter: Annotated[UUID, typer.Argument(metavar="ID")],
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
