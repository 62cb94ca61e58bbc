"""Live progress of the sagas, read from the database."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contracts.requests import LeadRequested, RefundRequested
from deploy.local.demo.upstream import Upstream

REFRESH = 0.15
COLOURS = {
    "completed": "green",
    "refunded": "green",
    "rolled_back": "yellow",
    "failed": "yellow",
    "parked": "red",
    "refused": "magenta",
    "unwinding": "yellow",
}

SAGAS = """
SELECT tenant_id, saga, request_id, status, state->>'step' AS step, state->>'attempt' AS attempt
FROM sagas
"""

Asked = LeadRequested | RefundRequested


async def watch(
    console: Console,
    database: "asyncpg.Connection[asyncpg.Record]",
    upstream: Upstream,
    asked: Sequence[Asked],
    seconds: float,
) -> None:
    """Returns when every request has its outcome. Raises TimeoutError when that takes too long."""
    async with asyncio.timeout(seconds):
        with Live(console=console, refresh_per_second=8) as live:
            while True:
                rows = {(r["tenant_id"], r["saga"], r["request_id"]): r for r in await database.fetch(SAGAS)}
                live.update(_table(asked, rows, upstream))
                if all(upstream.outcome(request) for request in asked):
                    return
                upstream.news.clear()
                try:
                    await asyncio.wait_for(upstream.news.wait(), REFRESH)
                except TimeoutError:
                    continue


def _table(asked: Sequence[Asked], rows: dict[Any, Any], upstream: Upstream) -> Table:
    table = Table(title="Requests", title_justify="left", expand=False)
    for column in ("tenant", "request", "leads", "status", "now at"):
        table.add_column(column)
    for request in asked:
        refund = isinstance(request, RefundRequested)
        name = request.refund_id if isinstance(request, RefundRequested) else request.request_id
        row = rows.get((request.tenant_id, "refund" if refund else "lead", name))
        outcome = upstream.outcome(request)
        status = row["status"] if row else (outcome.event if outcome else "sent")
        step = "" if row is None or not row["step"] or outcome else f"{row['step']} #{row['attempt']}"
        reason = str(getattr(outcome, "reason", ""))
        table.add_row(
            request.tenant_id,
            name,
            str(request.leads),
            Text(status, style=COLOURS.get(status, "cyan")),
            Text(step or reason[:70]),
        )
    return table
