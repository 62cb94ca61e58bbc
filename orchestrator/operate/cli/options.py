"""Options that several commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant's id.")]
AnyTenant = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")]
SagaName = Annotated[str, typer.Argument(metavar="SAGA_OR_REQUEST", help="Id of a saga, request or refund.")]
WhoseSaga = Annotated[
    str | None, typer.Option("--tenant", help="Whose request it is, if several tenants have one of this id.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, newest first.")]
WaitFor = Annotated[
    float | None,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for the outcome, at most so long."),
]
WaitForResult = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for the result, at most so long.")
]
