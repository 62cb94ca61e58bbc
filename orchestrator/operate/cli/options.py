"""Options that several commands share."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant's id.")]
AnyTenant = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")]
SagaName = Annotated[str, typer.Argument(metavar="SAGA_OR_REQUEST", help="Id of a saga, request or refund.")]
WhoseSaga = Annotated[
    str | None, typer.Option("--tenant", help="Whose request it is, if several tenants have one of this id.")
]
PATIENCE = 15.0
"""Seconds that a command waits for what becomes of its order, if nothing else is said."""

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what it would do and may cost; needs no reason.")
]
ReasonOrDryRun = Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, newest first.")]
WaitFor = Annotated[
    float | None,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for the outcome, at most so long."),
]
WaitForResult = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for the result, at most so long.")
]

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """`90m`, `3h` or `2d` ago, or a time as ISO 8601 writes it (UTC, unless it says otherwise)."""
    if ago := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    return time(text, "90m, 3h, 2d, or a time such as 2026-11-21T03:00")


def time(text: str, wanted: str = "a time such as 2027-01-01 or 2027-01-01T06:00") -> datetime:
    """As ISO 8601 writes it (UTC, unless it says otherwise)."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(wanted) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moment, metavar="WHEN", help="90m, 3h, 2d ago, or a time; not before."),
]
