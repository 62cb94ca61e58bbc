"""Commands about money: do all books agree, and what is earned."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from contracts.process.postgres import Database
from orchestrator.operate import margin as earning
from orchestrator.operate import reconcile as books
from orchestrator.operate.cli.options import AnyTenant, Json, Reason, Since, WaitForResult, time
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import money as render
from orchestrator.operate.session import actor

RECONCILING = 60.0
"""Seconds that `reconcile` waits, if nothing else is said."""

rates = typer.Typer(help="What currencies are worth, for margins.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command("reconcile")(reconcile)
    app.command("margin")(margin)
    app.add_typer(rates, name="rates")


def reconcile(tenant: AnyTenant = None, wait: WaitForResult = RECONCILING, as_json: Json = False) -> None:
    """Compare ledger, sends, Stripe's totals and invoices, now. Exit code 1 if anything differs.

    It is done every hour anyway, by the process that owns Stripe; this asks it to, and waits. What Stripe
    refused is parked and no difference; nor is what its totals, which lag behind, may be about to count.
    """

    async def work(database: Database) -> books.Reconciled:
        return await books.reconcile(database, tenant, wait=wait)

    perform(
        on_database(work), render.reconciled, as_json=as_json,
        code=lambda it: Exit.OK if it.clean else Exit.FAILED,
    )  # fmt: skip


def margin(tenant: AnyTenant = None, since: Since = None, as_json: Json = False) -> None:
    """Revenue, model cost and margin by tenant and day, in US dollars."""
    perform(on_database(lambda db: earning.margin(db, tenant, since)), render.margins, as_json=as_json)


@rates.command("set")
def set_rate(
    *,
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Three lower-case letters.")],
    usd: Annotated[str, typer.Argument(metavar="USD", help="What one unit is worth, such as 1.08.")],
    reason: Reason,
    start: Annotated[
        datetime | None,
        typer.Option("--from", parser=time, metavar="DAY", help="Such as 2027-01-01; today, if not said."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What a currency is worth from a day on, until the next rate."""
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        fail(Exit.USAGE, ["USD is not a decimal number"], as_json=as_json)
    day: date = (start or datetime.now(UTC)).date()
    rate = earning.Rate(currency=currency, valid_from=day, usd=amount)

    async def work(database: Database) -> earning.Rate:
        return await earning.set_rate(database, rate, actor=actor(), reason=reason)

    perform(on_database(work), lambda it: render.rates([it]), as_json=as_json)


@rates.command("list")
def list_rates(as_json: Json = False) -> None:
    """All rates."""
    perform(on_database(earning.rates), render.rates, as_json=as_json)
