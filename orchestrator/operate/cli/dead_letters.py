"""Commands about dead letters."""

import sys
from typing import Annotated, Literal
from uuid import UUID

import typer

from contracts.process.postgres import Database
from orchestrator.operate import dead_letters as letters
from orchestrator.operate.cli.options import (
    PATIENCE,
    AnyTenant,
    DryRun,
    Json,
    Limit,
    Reason,
    ReasonOrDryRun,
    Since,
    WaitForResult,
)
from orchestrator.operate.cli.orders import code_of, foresee, needed
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.opened import open_letter
from orchestrator.operate.orders import Ordered
from orchestrator.operate.render import letters as render
from orchestrator.operate.render import tables
from orchestrator.operate.replay import foresee_letter, replay_letter
from orchestrator.operate.session import actor

app = typer.Typer(help="What could not be carried out, or not be read.", no_args_is_help=True)

LetterId = Annotated[UUID, typer.Argument(metavar="ID")]


@app.command("list")
def listed(  # noqa: PLR0913 - the options of one command
    *,
    tenant: AnyTenant = None,
    step: Annotated[
        str | None, typer.Option("--step", help="Only of this step, undo or queue.", metavar="NAME")
    ] = None,
    error: Annotated[str | None, typer.Option("--error", help="Only of this class.")] = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all/--open", help="All, or only open ones.")] = False,
    by: Annotated[
        Literal["fingerprint"] | None, typer.Option("--by", help="One line for each cause.")
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Dead letters, the newest first; or what they died of."""
    wanted = letters.Wanted(tenant_id=tenant, step=step, error=error, since=since, everything=everything)
    if by is None:
        perform(
            on_database(lambda db: letters.dead_letters(db, wanted, limit=limit)),
            render.dead_letters,
            as_json=as_json,
        )
    else:
        perform(
            on_database(lambda db: letters.causes(db, wanted, limit=limit)), render.causes, as_json=as_json
        )


@app.command()
def show(
    dead_letter: LetterId,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes, into a pipe or file; audited.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why you look; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """One dead letter: why it is there, its attempts, and its message with shortened texts."""
    if not raw:
        perform(on_database(lambda db: open_letter(db, dead_letter)), render.opened, as_json=as_json)
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
def replay(
    *,
    dead_letter: LetterId,
    reason: ReasonOrDryRun = None,
    dry_run: DryRun = False,
    wait: WaitForResult = PATIENCE,
    as_json: Json = False,
) -> None:
    """Try one again: the parked step of its saga, or the message as it was."""
    if dry_run:
        foresee(lambda database: foresee_letter(database, dead_letter), as_json=as_json)
        return
    why = needed(reason)

    async def work(database: Database) -> Ordered:
        return await replay_letter(database, dead_letter, actor=actor(), reason=why, wait=wait)

    perform(on_database(work), tables.ordered, as_json=as_json, code=code_of)


@app.command()
def close(dead_letter: LetterId, reason: Reason, as_json: Json = False) -> None:
    """Say that one is dealt with. Those of a parked saga close with its replay or resolve."""

    async def work(database: Database) -> letters.DeadLetter:
        return await letters.close(database, dead_letter, actor=actor(), reason=reason)

    perform(on_database(work), render.closed, as_json=as_json)
