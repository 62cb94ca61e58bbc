"""Commands that look at sagas, and at what they delivered and billed."""

from typing import Annotated, Literal

import typer

from contracts.process.postgres import Database
from orchestrator.operate import find, inspect
from orchestrator.operate.cli.options import (
    AnyTenant,
    Json,
    Limit,
    SagaName,
    TenantOption,
    WhoseSaga,
)
from orchestrator.operate.cli.perform import on_database, perform
from orchestrator.operate.leads import LeadLine, leads_of
from orchestrator.operate.render import sagas as render
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor
from orchestrator.operate.usage import usage

Status = Literal["waiting", "running", "unwinding", "parked", "completed", "rolled_back"]
SagaKind = Literal["lead", "provision_tenant", "refund"]


def register(app: typer.Typer) -> None:
    app.command("list")(list_sagas)
    app.command("show")(show)
    app.command("leads")(leads)
    app.command("usage")(usage_of)


def list_sagas(
    tenant: AnyTenant = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only those that stand so.")] = None,
    saga: Annotated[SagaKind | None, typer.Option("--saga", help="Only of this kind.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Sagas, the newest first."""

    async def work(database: Database) -> list[find.Standing]:
        return await find.sagas(database, tenant_id=tenant, status=status, saga=saga, limit=limit)

    perform(on_database(work), render.standings, as_json=as_json)


def show(
    named: SagaName,
    tenant: WhoseSaga = None,
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
