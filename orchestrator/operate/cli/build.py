"""The tool `leadsaga`, put together."""

import typer

from orchestrator.operate.cli import (
    audit,
    dead_letters,
    money,
    orders,
    plans,
    refunds,
    requests,
    sagas,
    secrets,
    system,
    tenants,
)
from orchestrator.operate.errors import MEANING

EPILOG = "Exit codes: " + ", ".join(f"{code.value} {meaning}" for code, meaning in MEANING.items()) + "."


def build(orchestrator: system.Orchestrator) -> typer.Typer:
    """`orchestrator` runs the orchestrator in this process, until it is told to stop."""
    app = typer.Typer(
        help="Operate leadsaga: look at sagas, replay, refund, add tenants, run the processes.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        # Values of local variables hold secrets and tenants' texts.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_nothing)
    requests.register(app)
    refunds.register(app)
    sagas.register(app)
    orders.register(app)
    money.register(app)
    app.add_typer(dead_letters.app, name="dead-letters")
    app.add_typer(tenants.tenants, name="tenants")
    app.add_typer(plans.app, name="plans")
    app.add_typer(audit.app, name="audit")
    app.add_typer(secrets.app, name="secrets")
    system.register(app, orchestrator)
    return app


def _nothing() -> None:
    """Operate leadsaga: look at sagas, replay, refund, add tenants, run the processes."""
