"""Tells the tenant on Discord, without ever failing or delaying a saga: the notice is written with the answer
and goes out later, together with the tenant's others. Failed and parked requests are told of as well."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import ValidationError

from contracts.events import Event, Failed, Parked
from contracts.facts import Notified
from contracts.messages import Command
from contracts.outcomes import Done, Outcome, Rejected
from contracts.process.sealing import keys
from steps.clients.discord import open_discord
from steps.notices.send import tell_tenant
from steps.notices.settings import notice_interval
from steps.notices.texts import Notice, ended_well, went_wrong
from steps.notices.webhook import expect_keys
from steps.notices.write import write
from steps.runtime.step import Batch, Connection, Step
from steps.work.rounds import Rounds

NOTHING_TO_TELL = Rejected(reason="the saga has no result to tell of", error="NothingToTell")


async def notify_discord(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    told = [(command.saga_id, notice) for command in commands if (notice := _notice(command)) is not None]
    written = await write(connection, commands[0].tenant_id, told)
    ids = dict(zip((saga_id for saga_id, _ in told), written, strict=True))
    return [_outcome(ids.get(command.saga_id)) for command in commands]


def _notice(command: Command) -> Notice | None:
    try:
        return ended_well(command)
    except (KeyError, ValidationError):
        return None


def _outcome(notice_id: UUID | None) -> Outcome:
    if notice_id is None:
        return NOTHING_TO_TELL
    return Done(facts=Notified(notice_id=notice_id).model_dump(mode="json"))


async def heard(connection: Connection, event: Event) -> None:
    """Once for each saga and kind of event, however often it is heard."""
    if isinstance(event, Failed | Parked) and event.saga_id is not None:
        await write(connection, event.tenant_id, [(event.saga_id, went_wrong(event))])


STEP = Step(
    name="notify_discord",
    do=Batch(run=notify_discord),
    client=open_discord,
    job=Rounds("notices", tell_tenant),
    hears=("failed", "parked"),
    heard=heard,
    settings=(notice_interval, keys),
    expects=expect_keys,
)
