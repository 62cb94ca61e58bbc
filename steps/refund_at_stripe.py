"""Tells Stripe what was given back: inside the billing period a reversal nets out in the next flush, which
also gives the answer."""

from collections.abc import Sequence

from contracts.facts import UsageRefunded
from contracts.messages import Command
from contracts.outcomes import Outcome
from steps.billing.commands import owe_answers
from steps.runtime.step import Batch, Connection, Owing, Step


async def refund_at_stripe(connection: Connection, commands: Sequence[Command]) -> list[Outcome | Owing]:
    return await owe_answers(connection, commands, UsageRefunded)


STEP = Step(name="refund_at_stripe", do=Batch(run=refund_at_stripe))
