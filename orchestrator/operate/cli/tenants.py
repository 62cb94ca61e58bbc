"""Commands about tenants."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from contracts.process.postgres import Database
from orchestrator.operate import tenant_changes
from orchestrator.operate import tenants as buyers
from orchestrator.operate.cli.options import Json, Reason
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

WEBHOOK = "LEADSAGA_DISCORD_WEBHOOK"

tenants = typer.Typer(help="Who buys.", no_args_is_help=True)

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


@tenants.command("set")
def set_tenant(  # noqa: PLR0913 - the options of one command
    *,
    tenant: TenantId,
    reason: Reason,
    name: Annotated[str | None, typer.Option("--name")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="The id of a plan.")] = None,
    stripe_customer: Annotated[str | None, typer.Option("--stripe-customer", help="cus_...")] = None,
    webhook_file: Annotated[
        Path | None, typer.Option("--discord-webhook-file", help="Holds the URL. Never shown.")
    ] = None,
    webhook_set: Annotated[
        bool, typer.Option("--discord-webhook", help=f"The URL is in {WEBHOOK}. Never shown.")
    ] = False,
    in_flight: Annotated[
        int | None, typer.Option("--in-flight", min=1, help="Sagas under way at most.")
    ] = None,
    model_calls: Annotated[
        int | None, typer.Option("--model-calls", min=1, help="Side by side at most.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a tenant; what is not given stays. A new webhook is enabled, whatever became of the old one."""
    change = tenant_changes.TenantChange(
        name=name,
        plan_id=plan,
        stripe_customer=stripe_customer,
        sagas_in_flight=in_flight,
        model_calls=model_calls,
    )
    webhook = _new_webhook(webhook_file, webhook_set, as_json)

    async def work(database: Database) -> buyers.Tenant:
        return await tenant_changes.change_tenant(
            database, tenant, change, actor=actor(), reason=reason, discord_webhook=webhook
        )

    perform(on_database(work), lambda it: tables.tenants([it]), as_json=as_json)


def _new_webhook(path: Path | None, from_environment: bool, as_json: bool) -> str | None:
    """Only on demand: the variable may be set for other commands."""
    if path is not None and from_environment:
        fail(Exit.USAGE, ["--discord-webhook-file or --discord-webhook, not both"], as_json=as_json)
    if path is None and not from_environment:
        return None
    found = _webhook(path, as_json)
    if not found:
        fail(Exit.USAGE, [f"{'the file' if path else WEBHOOK} holds no Discord webhook"], as_json=as_json)
    return found


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
