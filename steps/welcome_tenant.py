"""Welcomes the tenant on Discord, if it has a webhook: a notice like any other, sent by notify_discord."""

from collections.abc import Sequence

from contracts.facts import TenantStored, TenantWelcomed
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.notices.settings import notice_interval
from steps.notices.texts import welcome
from steps.notices.write import write_welcome
from steps.runtime.step import Batch, Connection, Step
from steps.tenants.acting import acting


async def welcome_tenant(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [await _welcome(connection, command) for command in commands]


async def _welcome(connection: Connection, command: Command) -> Outcome:
    async with acting(connection, command) as asked:
        notice = welcome(asked.name, command.fact(TenantStored))
        notice_id = await write_welcome(connection, asked.new_tenant, notice)
    return Done(facts=TenantWelcomed(notice_id=notice_id).model_dump(mode="json"))


STEP = Step(name="welcome_tenant", do=Batch(run=welcome_tenant), settings=(notice_interval,))
