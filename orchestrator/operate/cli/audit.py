"""Commands about the audit."""

from typing import Annotated

import typer

from contracts.process.postgres import Database
from orchestrator.operate import chain, trail
from orchestrator.operate.cli.options import AnyTenant, Json, Limit, Since
from orchestrator.operate.cli.perform import on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import audit as render

app = typer.Typer(help="Who changed or looked at what, when and why.", no_args_is_help=True)


@app.command("list")
def listed(  # noqa: PLR0913 - the options of one command
    *,
    tenant: AnyTenant = None,
    who: Annotated[str | None, typer.Option("--actor", help="Only what this one did.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", help='Only this, "look at leads" for one.')
    ] = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What was done and looked at, the newest first; --json has both sides whole."""
    sought = trail.Sought(tenant_id=tenant, actor=who, action=action, since=since)
    perform(
        on_database(lambda db: trail.audit_rows(db, sought, limit=limit)), render.audit_rows, as_json=as_json
    )


@app.command("verify")
def verify(
    witness: Annotated[
        str | None,
        typer.Option("--witness", metavar="LINK:HASH", help="A head that an earlier run told."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Is every row as it was written, and in its place? Exit code 1 if not.

    Keep the head that it tells outside of the database: given as --witness later, it proves that nothing was
    written anew up to there, and that nothing was taken from the end.
    """

    async def work(database: Database) -> chain.Verified:
        return await chain.verify(database, None if witness is None else chain.Witness.of(witness))

    perform(
        on_database(work), render.verified, as_json=as_json,
        code=lambda it: Exit.OK if it.clean else Exit.FAILED,
    )  # fmt: skip
