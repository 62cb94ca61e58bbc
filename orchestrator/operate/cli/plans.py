"""Commands about plans."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

import typer

from contracts.process.postgres import Database
from orchestrator.operate import plans as selling
from orchestrator.operate.cli.options import Json, Reason, time
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

app = typer.Typer(help="What is sold.", no_args_is_help=True)

Billing = Literal["metered", "manual"]

PlanId = Annotated[str, typer.Argument(metavar="ID")]
BILLING = "metered: usage is reported to Stripe; manual: people bill it, and nothing is reported."


@app.command("add")
def add_plan(  # noqa: PLR0913 - the options of one command
    *,
    plan: PlanId,
    price: Annotated[str, typer.Option("--price", help="Of one lead, such as 0.40.")],
    currency: Annotated[str, typer.Option("--currency", help="Three lower-case letters.")],
    quota: Annotated[int, typer.Option("--quota", min=0, help="Leads per billing period.")],
    overage: Annotated[bool, typer.Option("--overage", help="More than the quota may be used.")] = False,
    event_name: Annotated[str, typer.Option("--event-name", help="Of the Stripe meter.")] = "leads_delivered",
    billing: Annotated[Billing, typer.Option("--billing", help=BILLING)] = "metered",
    stripe_price: Annotated[str | None, typer.Option("--stripe-price", help="price_...")] = None,
    as_json: Json = False,
) -> None:
    """Add a plan."""
    new = selling.Plan(
        plan_id=plan,
        price_per_lead=_amount(price, as_json),
        currency=currency,
        monthly_quota=quota,
        overage=overage,
        event_name=event_name,
        billing=billing,
        stripe_price=stripe_price,
    )

    async def work(database: Database) -> selling.Plan:
        return await selling.add_plan(database, new, actor=actor())

    perform(on_database(work), lambda it: tables.plans([it]), as_json=as_json)


@app.command("set")
def set_plan(  # noqa: PLR0913 - the options of one command
    *,
    plan: PlanId,
    reason: Reason,
    start: Annotated[
        datetime | None,
        typer.Option("--from", parser=time, metavar="TIME", help="Such as 2027-01-01; now, if not said."),
    ] = None,
    price: Annotated[str | None, typer.Option("--price", help="Of one lead, such as 0.40.")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Three lower-case letters.")] = None,
    quota: Annotated[int | None, typer.Option("--quota", min=0, help="Leads per billing period.")] = None,
    overage: Annotated[
        bool | None, typer.Option("--overage/--hard-stop", help="May more than the quota be used?")
    ] = None,
    event_name: Annotated[str | None, typer.Option("--event-name", help="Of the Stripe meter.")] = None,
    billing: Annotated[Billing | None, typer.Option("--billing", help=BILLING)] = None,
    stripe_price: Annotated[str | None, typer.Option("--stripe-price", help="price_...")] = None,
    as_json: Json = False,
) -> None:
    """New terms of a plan from a moment on; what is not given stays.

    Quota and overage hold at once then; price, currency, meter and billing for each tenant from its next
    billing period on.
    """
    terms = selling.Terms(
        price_per_lead=None if price is None else _amount(price, as_json),
        currency=currency,
        monthly_quota=quota,
        overage=overage,
        event_name=event_name,
        billing=billing,
        stripe_price=stripe_price,
    )

    async def work(database: Database) -> selling.Plan:
        moment = start or datetime.now(UTC)
        return await selling.set_terms(database, plan, terms, start=moment, actor=actor(), reason=reason)

    perform(on_database(work), lambda it: tables.plans([it]), as_json=as_json)


def _amount(price: str, as_json: bool) -> Decimal:
    try:
        return Decimal(price)
    except InvalidOperation:
        fail(Exit.USAGE, ["--price is not a decimal number"], as_json=as_json)


@app.command("list")
def list_plans(as_json: Json = False) -> None:
    """All plans, with all their terms."""
    perform(on_database(selling.plans), tables.plans, as_json=as_json)
