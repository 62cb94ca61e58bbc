"""Commands that order what only people may: written down with a reason, carried out by the orchestrator."""

from typing import Annotated

import typer
from pydantic import ValidationError

from contracts.bundle import explain
from contracts.process.postgres import Database
from contracts.requests import CancelRequested
from orchestrator.operate.cli.options import Json, Reason, SagaName, WaitFor, WaitForResult, WhoseSaga
from orchestrator.operate.cli.perform import fail, on_database, perform
from orchestrator.operate.cli.requests import send
from orchestrator.operate.errors import Exit
from orchestrator.operate.orders import Kind, Ordered, Verdict, order
from orchestrator.operate.render import tables
from orchestrator.operate.session import actor
