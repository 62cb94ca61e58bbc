"""Commands that order what only people may: written down with a reason, carried out by the orchestrator."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from contracts.process.postgres import Database
from orchestrator.operate.cli.options import (
    PATIENCE,
    DryRun,
    Json,
    Reason,
    ReasonOrDryRun,
    SagaName,
    WaitForResult,
    WhoseSaga,
)
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.cli.requests import cancel_as_upstream
from orchestrator.operate.errors import Exit
from orchestrator.operate.orders import Kind, Ordered, Verdict, order
from orchestrator.operate.render import tables
from orchestrator.operate.replay import Foreseen, foresee_saga
from orchestrator.operate.session import actor


def register(app: typer.Typer) -> None:
    sagas = typer.Typer(help="What becomes of one saga.", no_args_is_help=True)
    for each in (app, sagas):
        each.command("cancel")(cancel)
        each.command("replay")(replay)
        each.command("resolve")(resolve)
    app.add_typer(sagas, name="sagas")


def cancel(  # noqa: PLR0913 - the options of one command
    *,
    named: SagaName,
    reason: Reason,
    tenant: WhoseSaga = None,
    over_amqp: Annotated[
        bool,
        typer.Option("--over-amqp", help="Ask over the broker, as an upstream service does; needs --tenant."),
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            min=0,
            metavar="SECONDS",
            help=f"At most so long: for the result ({PATIENCE:g} when missing), over AMQP for the outcome.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop what is under way, unless usage is recorded already; nothing is charged for it."""
    if not over_amqp:
        patience = PATIENCE if wait is None else wait
        _order(named, "cancel", tenant=tenant, reason=reason, wait=patience, as_json=as_json)
    elif tenant is None:
        fail(Exit.USAGE, ["--over-amqp needs --tenant and the id of a request"], as_json=as_json)
    else:
        cancel_as_upstream(named, tenant, reason=reason, wait=wait, as_json=as_json)


def replay(  # noqa: PLR0913 - the options of one command
    *,
    named: SagaName,
    reason: ReasonOrDryRun = None,
    tenant: WhoseSaga = None,
    dry_run: DryRun = False,
    wait: WaitForResult = PATIENCE,
    as_json: Json = False,
) -> None:
    """Try a parked step again."""
    if dry_run:
        foresee(lambda database: foresee_saga(database, named, tenant), as_json=as_json)
    else:
        _order(named, "replay", tenant=tenant, reason=needed(reason), wait=wait, as_json=as_json)


def resolve(  # noqa: PLR0913 - the options of one command
    *,
    named: SagaName,
    verdict: Annotated[str, typer.Option("--as", help="done or not_done.", metavar="VERDICT")],
    reason: Reason,
    tenant: WhoseSaga = None,
    wait: WaitForResult = PATIENCE,
    as_json: Json = False,
) -> None:
    """Settle a parked step by hand: it has happened, or it surely has not.

    Usage that may still be reported to Stripe, by a replay of another saga for one, is not settled as done.
    """
    settled: Verdict
    match verdict.replace("-", "_"):
        case "done":
            settled = "done"
        case "not_done":
            settled = "not_done"
        case _:
            raise typer.BadParameter("done or not_done", param_hint="--as")
    _order(named, "resolve", tenant=tenant, reason=reason, wait=wait, as_json=as_json, verdict=settled)


def _order(  # noqa: PLR0913 - what an order says
    named: str,
    kind: Kind,
    *,
    tenant: str | None,
    reason: str,
    wait: float,
    as_json: bool,
    verdict: Verdict | None = None,
) -> None:
    async def work(database: Database) -> Ordered:
        return await order(
            database, named, kind, actor=actor(), reason=reason, tenant_id=tenant, verdict=verdict, wait=wait
        )

    perform(on_database(work), tables.ordered, as_json=as_json, code=code_of)


def code_of(it: Ordered) -> Exit:
    if it.result is None:
        return Exit.TIMED_OUT
    return Exit.OK if it.done else Exit.FAILED


def foresee(look: Callable[[Database], Awaitable[Foreseen]], *, as_json: bool) -> None:
    """Shows what would be done; what would be refused fails."""
    perform(
        on_database(look),
        tables.foreseen,
        as_json=as_json,
        code=lambda it: Exit.FAILED if it.refused else Exit.OK,
    )


def needed(reason: str | None) -> str:
    if reason is None:
        raise typer.BadParameter("nothing is done without a reason", param_hint="--reason")
    return reason
