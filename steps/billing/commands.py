"""Taking the commands of the steps whose answers the flush gives."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command
from contracts.outcomes import Rejected
from steps.billing.answers import TOLD, confirmed, outside
from steps.billing.due import note_owed
from steps.billing.settings import flush_pace
from steps.runtime.step import OWING, Connection, Noted, Owing, Said

NO_USAGE = Rejected(reason="the ledger has no usage of this saga to report", error="NoUsage")

_CARRIED = """
SELECT l.saga_id, l.ledger_id, i.intent_id, i.identifier, i.value, i.state, EXISTS (
    SELECT FROM effects e WHERE e.tenant_id = $1 AND e.saga_id = l.saga_id AND e.step = 'refund_at_stripe'
        AND e.direction = 'do' AND e.outside->>'instrument' = 'negative_event') AS to_be_checked
FROM ledger l
LEFT JOIN carriers c USING (tenant_id, ledger_id)
LEFT JOIN intents i USING (tenant_id, intent_id)
WHERE l.tenant_id = $1 AND l.saga_id = ANY($2::uuid[])
"""

_ASK_AGAIN = """
UPDATE intents SET retry_at = now()
WHERE tenant_id = $1 AND intent_id = ANY($2::uuid[]) AND state = 'rejected'
"""


async def owe_answers(
    connection: Connection, commands: Sequence[Command], fact: type[UsageRecorded | UsageRefunded]
) -> list[Said]:
    """Done for what Stripe has already; all else is owed. `fact` is the earlier result that names the saga's
    ledger row. A command for a send that Stripe refused asks for it to be tried again."""
    tenant_id = commands[0].tenant_id
    rows = await connection.fetch(_CARRIED, tenant_id, [command.saga_id for command in commands])
    carried = {row["saga_id"]: row for row in rows}
    outcomes = [_answer(command, carried.get(command.saga_id), fact) for command in commands]
    owed = [
        carried[command.saga_id]
        for command, outcome in zip(commands, outcomes, strict=True)
        if isinstance(outcome, Owing)
    ]
    if owed:
        refused = sorted({row["intent_id"] for row in owed if row["state"] == "rejected"})
        if refused:
            await connection.execute(_ASK_AGAIN, tenant_id, refused)
        # What has no carrier yet is in no hurry: reported together with more it costs less.
        waits = all(row["intent_id"] is None for row in owed)
        await note_owed(connection, tenant_id, flush_pace().interval if waits else 0.0)
    return outcomes


def _answer(command: Command, row: Any, fact: type[UsageRecorded | UsageRefunded]) -> Said:
    # A pivot that was declared done by hand has no facts: then the saga's only row is the one.
    if row is None or _ledger_id(command, fact) not in {None, row["ledger_id"]}:
        return NO_USAGE
    if row["state"] not in TOLD or row["to_be_checked"]:
        return OWING
    return Noted(confirmed(command.step, row), outside(row))


def _ledger_id(command: Command, fact: type[UsageRecorded | UsageRefunded]) -> UUID | None:
    try:
        return command.fact(fact).ledger_id
    except (KeyError, ValidationError):
        return None
