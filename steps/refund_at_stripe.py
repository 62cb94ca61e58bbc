"""Tells Stripe what was given back. The command is only noted; the flush reads how the invoice of the usage
stands, chooses what gives the leads back there, and then answers."""

from collections.abc import Sequence

from contracts.facts import UsageRefunded
from contracts.messages import Command
from steps.billing.commands import owe_answers
from steps.runtime.step import Batch, Connection, Said, Step


async def refund_at_stripe(connection: Connection, commands: Sequence[Command]) -> list[Said]:
    return await owe_answers(connection, commands, UsageRefunded)


STEP = Step(name="refund_at_stripe", do=Batch(run=refund_at_stripe))
