"""Commands about tenants."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
import uuid_utils

from contracts.process.postgres import Database
from orchestrator.operate import tenant_changes
from orchestrator.operate import tenants as buyers
from orchestrator.operate.cli.options import Json, Reason, WaitForResult
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.provision import provision
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

WEBHOOK = "LEADSAGA_DISCORD_WEBHOOK"
PROVISIONING = 60.0
"""Seconds that `add` waits for the saga, if nothing else is said."""

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
    without_account: Annotated[
        bool, typer.Option("--without-account", help="Open no account at Stripe: only store the tenant.")
    ] = False,
    flag: Annotated[
        list[str] | None, typer.Option("--flag", help="A feature flag: NAME, or NAME=off. May be repeated.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option("--request-id", help="To ask for the same again. Made up when missing.")
    ] = None,
    wait: WaitForResult = PROVISIONING,
    as_json: Json = False,
) -> None:
    """Add a tenant, with an account at Stripe; all of it, or nothing.

    With --stripe-customer or --without-account it is only stored, here and now.
    """
    new = buyers.NewTenant(
        tenant_id=tenant,
        name=name,
        plan_id=plan,
        stripe_customer=stripe_customer,
        in_flight=in_flight,
        model_calls=model_calls,
    )
    webhook = _webhook(webhook_file, as_json)
    at_once = without_account or stripe_customer is not None
    if at_once and (flag or request_id):
        fail(
            Exit.USAGE, ["--flag and --request-id are for a tenant that is given an account"], as_json=as_json
        )
    flags = _flags(flag or [], as_json)
    name_of_request = request_id or str(uuid_utils.uuid7())

    async def work(database: Database) -> buyers.Tenant:
        if at_once:
            return await buyers.add_tenant(database, new, actor=actor(), discord_webhook=webhook)
        return await provision(
            database,
            new,
            request_id=name_of_request,
            actor=actor(),
            wait=wait,
            flags=flags,
            discord_webhook=webhook,
        )

    perform(on_database(work), lambda it: tables.tenants([it]), as_json=as_json)


def _flags(given: list[str], as_json: bool) -> dict[str, bool]:
    flags = {}
    for each in given:
        name, _, word = each.partition("=")
        if word not in {"", "on", "off"}:
            fail(Exit.USAGE, [f"--flag {name}: on or off"], as_json=as_json)
        flags[name] = word != "off"
    return flags


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


@tenants.command("limits")
def set_limits(
    *,
    tenant: TenantId,
    reason: Reason,
    sagas: Annotated[int | None, typer.Option("--sagas", min=1, help="Under way at most.")] = None,
    model_calls: Annotated[
        int | None, typer.Option("--model-calls", min=1, help="Side by side at most, over all processes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what a tenant may use at a time. What is under way goes on; what begins next heeds it."""
    change = tenant_changes.TenantChange(sagas_in_flight=sagas, model_calls=model_calls)

    async def work(database: Database) -> buyers.Tenant:
        return await tenant_changes.change_tenant(database, tenant, change, actor=actor(), reason=reason)

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
