"""Tells Stripe what was delivered. The command is only noted; the flush reports usage of many sagas with one
event and then answers all of them."""

from collections.abc import Sequence

from contracts.facts import UsageRecorded
from contracts.messages import Command
from steps.billing.commands import owe_answers
from steps.billing.flush import flush_tenant
from steps.billing.lag import show_lag
from steps.billing.reconcile import reconcile_tenant
from steps.billing.settings import flush_pace, reconcile_settings
from steps.clients.stripe_refunds import open_billing
from steps.runtime.step import Batch, Connection, Said, Step
from steps.work.rounds import Rounds, SideBySide


async def report_to_stripe(connection: Connection, commands: Sequence[Command]) -> list[Said]:
    return await owe_answers(connection, commands, UsageRecorded)


STEP = Step(
    name="report_to_stripe",
    do=Batch(run=report_to_stripe),
    client=open_billing,
    job=SideBySide(
        Rounds("flush", flush_tenant), Rounds("reconcile", reconcile_tenant, lease=600.0, long=True)
    ),
    settings=(flush_pace, reconcile_settings),
    measure=show_lag,
)
