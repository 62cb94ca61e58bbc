"""Commands that act as an upstream service does: over the broker."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
import uuid_utils
from pydantic import ValidationError

from contracts.bundle import explain
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.operate.cli.options import Json, TenantOption, WaitFor
from orchestrator.operate.cli.perform import fail, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor
from orchestrator.operate.upstream import Heard, Request, upstream

R = TypeVar("R", LeadRequested, CancelRequested, RefundRequested)


def register(app: typer.Typer) -> None:
    app.command("request")(request)


def request(  # noqa: PLR0913 - the options of one command
    *,
    tenant: TenantOption,
    leads: Annotated[int, typer.Option("--leads", help="How many, at most.")],
    criteria: Annotated[str, typer.Option("--criteria", help="What they must match, in plain words.")],
    language: Annotated[str, typer.Option("--language", help="Of the leads' reasons: en, de, pt-BR.")] = "en",
    request_id: Annotated[str | None, typer.Option("--request-id", help="Made up when missing.")] = None,
    wait: WaitFor = None,
    as_json: Json = False,
) -> None:
    """Ask for leads, and print the request's id (with --wait: the outcome)."""
    name = request_id or str(uuid_utils.uuid7())

    def build() -> LeadRequested:
        return LeadRequested(
            tenant_id=tenant, request_id=name, criteria=criteria, leads=leads, language=language
        )

    send(valid(build, as_json), wait, as_json)


def cancel_as_upstream(request: str, tenant: str, *, reason: str, wait: float | None, as_json: bool) -> None:

    def build() -> CancelRequested:
        return CancelRequested(tenant_id=tenant, request_id=request, reason=reason, requested_by=actor())

    send(valid(build, as_json), wait, as_json)


def valid(build: Callable[[], R], as_json: bool) -> R:
    try:
        return build()
    except ValidationError as error:
        fail(Exit.USAGE, [explain(error)], as_json=as_json)


def send(
    asked: Request,
    wait: float | None,
    as_json: bool,
    *,
    first: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """`first`: what is written down before it is asked for, and stays although nobody can be asked."""

    async def work() -> Heard:
        if first is not None:
            await first()
        async with upstream() as side:
            return await side.publish(asked) if wait is None else await side.ask(asked, wait)

    perform(work, tables.heard, as_json=as_json, code=lambda it: Exit.OK if it.met else Exit.FAILED)
