"""What is settled by hand stays as it was settled: a late copy of its command, on its way or just running,
must not change the world behind the operator's back.

The tool leaves a mark where the step looks before it writes anything: in the row of effects that it locks.
"""

from typing import Any, Literal

from contracts.process.postgres import set_tenant
from orchestrator.operate.errors import Refused
from orchestrator.operate.standing import At

# Waits for whoever has the row locked. What has happened stays, unless it was just taken back by hand.
_FORBID = """
INSERT INTO effects AS e (tenant_id, saga_id, step, direction, state) VALUES ($1, $2, $3, 'do', 'undone')
ON CONFLICT (tenant_id, saga_id, step, direction) DO UPDATE
SET state = 'undone', owed = false, updated_at = now() WHERE e.state <> 'done' OR $4
RETURNING true
"""

CLOSED = "the billing period is closed"
"""Why the flush never sends a refused usage again, whoever asks for it."""

# Where the usage of a saga stands; nobody is billed twice for what is confirmed, or was given up for good.
_UNSETTLED = """
SELECT coalesce(i.state, k.state) AS state, i.retry_at IS NOT NULL AS asked_again, i.error, EXISTS (
    SELECT FROM carriers c JOIN ledger l USING (tenant_id, ledger_id)
    WHERE c.tenant_id = i.tenant_id AND c.intent_id = i.intent_id AND l.saga_id <> $2) AS shared
FROM ledger
LEFT JOIN carriers USING (tenant_id, ledger_id)
LEFT JOIN intents i USING (tenant_id, intent_id)
LEFT JOIN credits k USING (tenant_id, credit_id)
WHERE tenant_id = $1 AND saga_id = $2
    AND coalesce(i.state, k.state, '') NOT IN ('confirmed', 'missing', 'manual') AND NOT (
    -- A refund that is held: once its usage is gone, nothing goes after it unless its own saga asks.
    carriers.ledger_id IS NULL AND kind = 'reversal' AND EXISTS (
        SELECT FROM carriers o WHERE o.tenant_id = $1 AND o.ledger_id = ledger.original_id))
"""


async def settle(connection: Any, at: At, verdict: Literal["done", "not_done"]) -> Literal["done", "undone"]:
    """Forbids the parked step for good, in the transaction that orders. Says what its effect counts as from
    now on. Raises Refused for a step that is to be settled as not done, and has happened, and for usage that
    is to be settled as done, and may yet be reported."""
    step, undo = at.state.step, at.state.direction == "undo"
    await set_tenant(connection, at.tenant_id)
    forbidden = await connection.fetchval(_FORBID, at.tenant_id, at.saga_id, step, undo)
    if forbidden:
        if verdict == "done" and not undo and at.saga.step(step or "").answered_by is not None:
            await _expect_no_send(connection, at)
        return "undone"
    if verdict == "not_done":
        raise Refused(f"refused: {step} has happened, its effect is in the database: resolve it as done")
    return "done"


async def _expect_no_send(connection: Any, at: At) -> None:
    """The step's own command is forbidden from here on; but one send carries the usage of many sagas, and is
    made for all of them."""
    send = await connection.fetchrow(_UNSETTLED, at.tenant_id, at.saga_id)
    if send is None:
        return
    if send["state"] != "rejected" or send["asked_again"]:
        state = send["state"] or "not planned yet"
        raise Refused(
            f"refused: its usage is still to be reported to Stripe ({state}): do not bill it by hand; "
            "replay the saga, which goes on when Stripe has it"
        )
    if send["shared"] and send["error"] != CLOSED:
        raise Refused(
            "refused: its usage goes to Stripe together with that of others, and a replay of any of them "
            f"sends it all: mend the cause and replay; bill by hand only what is refused as {CLOSED!r}"
        )
