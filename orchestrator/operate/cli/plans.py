"""Commands about plans."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from contracts.process.postgres import Database
from orchestrator.operate import plans as selling
from orchestrator.operate.cli.options import Json
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor

app = typer.Typer(help="What is sold.", no_args_is_help=True)


@app.command("add")
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


@app.command("list")
def list_plans(as_json: Json = False) -> None:
    """All plans."""
    perform(on_database(selling.plans), tables.plans, as_json=as_json)
