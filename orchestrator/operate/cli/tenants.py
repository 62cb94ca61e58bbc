"""Commands about tenants and plans."""

import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import typer

from contracts.process.postgres import Database
from orchestrator.operate import plans as selling
from orchestrator.operate import tenants as buyers
from orchestrator.operate.cli.options import Json, Reason
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

WEBHOOK = "LEADSAGA_DISCORD_WEBHOOK"

tenants = typer.Typer(help="Who buys.", no_args_is_help=True)
plans = typer.Typer(help="What is sold.", no_args_is_help=True)

TenantId = Annotated[str, typer.Argument(metavar="ID", help="Lower-case letters, digits and dashes.")]


@tenants.command("add")
def add_tenant(  # noqa: PLR0913 - the options of one command
    *,
    tenant: TenantId,
    name: Annotated[str, typer.Option("--name")],
    plan: Annotated[str, typer.Option("--plan", help="The id of a plan.")],
    stripe_customer: Annotated[str | None, typer.Option("--stripe-customer", help="cus_...")] = None,
    webhook_file: Annotated[
        Path | None,
        typer.Option("--discord-webhook-file", help=f"Holds the URL; or set {WEBHOOK}. Never shown."),
    ] = None,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, help="Sagas under way at most.")] = 50,
    model_calls: Annotated[int, typer.Option("--model-calls", min=1, help="Side by side at most.")] = 4,
    as_json: Json = False,
) -> None:
    """Add a tenant."""
    new = buyers.NewTenant(
        tenant_id=tenant,
        name=name,
        plan_id=plan,
        stripe_customer=stripe_customer,
        in_flight=in_flight,
        model_calls=model_calls,
    )
    webhook = _webhook(webhook_file, as_json)

    async def work(database: Database) -> buyers.Tenant:
        return await buyers.add_tenant(database, new, actor=actor(), discord_webhook=webhook)

    perform(on_database(work), lambda it: tables.tenants([it]), as_json=as_json)


def _webhook(path: Path | None, as_json: bool) -> str | None:
    if path is None:
        return os.environ.get(WEBHOOK, "").strip() or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fail(Exit.USAGE, [f"--discord-webhook-file: {type(error).__name__}"], as_json=as_json)


@tenants.command("list")
def list_tenants(as_json: Json = False) -> None:
    """All tenants."""
    perform(on_database(buyers.tenants), tables.tenants, as_json=as_json)


@tenants.command("suspend")
def suspend(tenant: TenantId, reason: Reason, as_json: Json = False) -> None:
    """Refuse a tenant's new requests; what is under way goes on."""
    _set(tenant, "suspended", reason, as_json)


@tenants.command("resume")
def resume(tenant: TenantId, reason: Reason, as_json: Json = False) -> None:
    """Take a tenant's requests again."""
    _set(tenant, "active", reason, as_json)


def _set(tenant: str, status: Literal["active", "suspended"], reason: str, as_json: bool) -> None:
    async def work(database: Database) -> buyers.Tenant:
        return await buyers.set_status(database, tenant, status, actor=actor(), reason=reason)

    perform(on_database(work), lambda it: tables.tenants([it]), as_json=as_json)


@plans.command("add")
def add_plan(  # noqa: PLR0913 - the options of one command
    *,
    plan: Annotated[str, typer.Argument(metavar="ID")],
    price: Annotated[str, typer.Option("--price", help="Of one lead, such as 0.40.")],
    currency: Annotated[str, typer.Option("--currency", help="Three lower-case letters.")],
    quota: Annotated[int, typer.Option("--quota", min=0, help="Leads per billing period.")],
    overage: Annotated[bool, typer.Option("--overage", help="More than the quota may be used.")] = False,
    event_name: Annotated[str, typer.Option("--event-name", help="Of the Stripe meter.")] = "leads_delivered",
    as_json: Json = False,
) -> None:
    """Add a plan."""
    try:
        amount = Decimal(price)
    except InvalidOperation:
        fail(Exit.USAGE, ["--price is not a decimal number"], as_json=as_json)
    new = selling.Plan(
        plan_id=plan,
        price_per_lead=amount,
        currency=currency,
        monthly_quota=quota,
        overage=overage,
        event_name=event_name,
    )

    async def work(database: Database) -> selling.Plan:
        return await selling.add_plan(database, new, actor=actor())

    perform(on_database(work), lambda it: tables.plans([it]), as_json=as_json)


@plans.command("list")
def list_plans(as_json: Json = False) -> None:
    """All plans."""
    perform(on_database(selling.plans), tables.plans, as_json=as_json)
