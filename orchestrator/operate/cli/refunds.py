"""Giving back what was billed: foreseen, or audited and then asked for over the broker."""

from typing import Annotated

import typer
import uuid_utils

from contracts.requests import RefundRequested
from orchestrator.operate.cli.options import DryRun, Json, ReasonOrDryRun, TenantOption, WaitFor
from orchestrator.operate.cli.orders import needed
from orchestrator.operate.cli.perform import on_database, perform
from orchestrator.operate.cli.requests import send, valid
from orchestrator.operate.errors import Exit
from orchestrator.operate.refunds import foresee_refund, record_refund
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor, operator_database

FORESEEN = "a dry run"


def register(app: typer.Typer) -> None:
    app.command("refund")(refund)


def refund(  # noqa: PLR0913 - the options of one command
    *,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="The id of a lead request.")],
    tenant: TenantOption,
    reason: ReasonOrDryRun = None,
    evidence: Annotated[
        str, typer.Option("--evidence", help="What shows that it is due: a ticket, a bounce report.")
    ] = "",
    leads: Annotated[int | None, typer.Option("--leads", help="So many of them; all when missing.")] = None,
    withdraw: Annotated[
        bool,
        typer.Option("--withdraw-leads/--keep-leads", help="Whether they are taken back, the worst first."),
    ] = False,
    quota: Annotated[
        bool, typer.Option("--return-quota/--keep-quota", help="Whether they may be ordered again.")
    ] = True,
    beyond_window: Annotated[
        bool, typer.Option("--beyond-window", help="Although the time for it is over; audited.")
    ] = False,
    refund_id: Annotated[str | None, typer.Option("--refund-id", help="Made up when missing.")] = None,
    dry_run: DryRun = False,
    wait: WaitFor = None,
    as_json: Json = False,
) -> None:
    """Give back leads of a delivered request, and print the refund's id (with --wait: the outcome)."""

    def build() -> RefundRequested:
        return RefundRequested(
            tenant_id=tenant,
            refund_id=refund_id or str(uuid_utils.uuid7()),
            request_id=request,
            leads=leads,
            reason=FORESEEN if dry_run else needed(reason),
            requested_by=actor(),
            evidence=evidence,
            withdraw_leads=withdraw,
            return_quota=quota,
        )

    asked = valid(build, as_json)
    if dry_run:
        perform(
            on_database(lambda database: foresee_refund(database, asked, beyond_window=beyond_window)),
            tables.foreseen_refund,
            as_json=as_json,
            code=lambda it: Exit.FAILED if it.refused else Exit.OK,
        )
        return

    async def record() -> None:
        async with operator_database() as database:
            await record_refund(database, asked, actor=actor(), beyond_window=beyond_window)

    send(asked, wait, as_json, first=record)
