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


async def settle(connection: Any, at: At, verdict: Literal["done", "not_done"]) -> Literal["done", "undone"]:
    """Forbids the parked step for good, in the transaction that orders. Says what its effect counts as from
    now on. Raises Refused for a step that is to be settled as not done, and has happened."""
    step, undo = at.state.step, at.state.direction == "undo"
    await set_tenant(connection, at.tenant_id)
    forbidden = await connection.fetchval(_FORBID, at.tenant_id, at.saga_id, step, undo)
    if forbidden:
        return "undone"
    if verdict == "not_done":
        raise Refused(f"refused: {step} has happened, its effect is in the database: resolve it as done")
    return "done"
