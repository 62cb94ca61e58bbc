"""Commands that look at sagas, and order what only people may."""

from typing import Annotated
from uuid import UUID

import typer

from contracts.process.postgres import Database
from orchestrator.operate import find, inspect
from orchestrator.operate.cli.options import AnyTenant, Json, Limit, Reason, TenantOption, WaitForResult
from orchestrator.operate.cli.perform import on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.leads import LeadLine, leads_of
from orchestrator.operate.orders import Kind, Ordered, Verdict, order
from orchestrator.operate.render import sagas as render
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor
from orchestrator.operate.usage import usage

Status = Annotated[
    str | None,
    typer.Option(
        "--status", help="waiting, running, unwinding, parked, completed or rolled_back.", metavar="STATUS"
    ),
]
SagaId = Annotated[UUID, typer.Argument(metavar="SAGA", help="The id of a saga.")]

saga_orders = typer.Typer(help="Orders for one saga.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command("list")(list_sagas)
    app.command("show")(show)
    app.command("leads")(leads)
    app.command("usage")(usage_of)
    app.command("replay")(replay)
    app.command("resolve")(resolve)
    saga_orders.command("cancel")(cancel)
    app.add_typer(saga_orders, name="sagas")


def list_sagas(
    tenant: AnyTenant = None,
    status: Status = None,
    saga: Annotated[str | None, typer.Option("--saga", help=" or ".join(find.SAGAS), metavar="SAGA")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Sagas, the newest first."""

    async def work(database: Database) -> list[find.Standing]:
        return await find.sagas(database, tenant_id=tenant, status=status, saga=saga, limit=limit)

    perform(on_database(work), render.standings, as_json=as_json)


def show(
    named: Annotated[str, typer.Argument(metavar="SAGA_OR_REQUEST", help="Id of a saga, request or refund.")],
    tenant: AnyTenant = None,
    as_json: Json = False,
) -> None:
    """Everything about one saga: its timeline, effects, ledger, model calls, notices, dead letters, orders.

    On a narrow terminal ids are shortened in the middle; --json has them whole.
    """
    perform(on_database(lambda db: inspect.show(db, named, tenant)), render.shown, as_json=as_json)


def leads(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Id of a lead request.")],
    tenant: TenantOption,
    reason: Annotated[str, typer.Option("--reason", help="Why you look; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """The delivered leads of a request. Looking at them is audited."""

    async def work(database: Database) -> list[LeadLine]:
        return await leads_of(database, request, tenant, actor=actor(), reason=reason)

    perform(on_database(work), tables.leads, as_json=as_json)


def usage_of(tenant: AnyTenant = None, as_json: Json = False) -> None:
    """Delivered and refunded leads, beside what Stripe was told."""
    perform(on_database(lambda db: usage(db, tenant)), tables.usage, as_json=as_json)


def replay(saga: SagaId, reason: Reason, wait: WaitForResult = 15.0, as_json: Json = False) -> None:
    """Try a parked step again."""
    _order(saga, "replay", reason=reason, wait=wait, as_json=as_json)


def resolve(
    saga: SagaId,
    verdict: Annotated[str, typer.Option("--as", help="done or not_done.", metavar="VERDICT")],
    reason: Reason,
    wait: WaitForResult = 15.0,
    as_json: Json = False,
) -> None:
    """Settle a parked step by hand: it has happened, or it surely has not."""
    match verdict.replace("-", "_"):
        case "done":
            _order(saga, "resolve", reason=reason, wait=wait, as_json=as_json, verdict="done")
        case "not_done":
            _order(saga, "resolve", reason=reason, wait=wait, as_json=as_json, verdict="not_done")
        case _:
            raise typer.BadParameter("done or not_done", param_hint="--as")


def cancel(saga: SagaId, reason: Reason, wait: WaitForResult = 15.0, as_json: Json = False) -> None:
    """Stop a saga that is under way, unless usage is recorded already."""
    _order(saga, "cancel", reason=reason, wait=wait, as_json=as_json)


def _order(  # noqa: PLR0913 - what an order says
    saga: UUID, kind: Kind, *, reason: str, wait: float, as_json: bool, verdict: Verdict | None = None
) -> None:
    async def work(database: Database) -> Ordered:
        return await order(database, saga, kind, actor=actor(), reason=reason, verdict=verdict, wait=wait)

    perform(on_database(work), tables.ordered, as_json=as_json, code=_code)


def _code(it: Ordered) -> Exit:
    if it.result is None:
        return Exit.TIMED_OUT
    return Exit.OK if it.done else Exit.FAILED
