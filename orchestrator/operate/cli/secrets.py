"""Commands about what is sealed."""

import typer

from contracts.process.postgres import Database
from contracts.process.sealing import keys
from contracts.process.settings import load, require
from orchestrator.operate.cli.options import Json, Reason
from orchestrator.operate.cli.perform import on_database, perform
from orchestrator.operate.errors import Exit
from orchestrator.operate.render import audit as render
from orchestrator.operate.rotation import Rotated, rotate
from orchestrator.operate.session import actor, sealers_database
from orchestrator.settings import RotationSettings

app = typer.Typer(help="What is sealed at rest.", no_args_is_help=True)


@app.callback()
def _nothing() -> None:
    """What is sealed at rest."""


@app.command("rotate")
def rotated(reason: Reason, as_json: Json = False) -> None:
    """Seal all secrets with LEADSAGA_SECRETS_KEY, those in the clear too.

    Exit code 1 if another key stays in use. Reads LEADSAGA_STEPS_URL as well: operators cannot read secrets.
    Running it again changes nothing.
    """

    async def work(database: Database) -> Rotated:
        require(keys, lambda: load(RotationSettings))
        async with sealers_database() as sealers:
            return await rotate(database, sealers, actor=actor(), reason=reason)

    perform(
        on_database(work), render.rotated, as_json=as_json,
        code=lambda it: Exit.OK if it.finished else Exit.FAILED,
    )  # fmt: skip
