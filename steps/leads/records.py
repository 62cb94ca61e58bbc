"""The record of model calls: a row is begun and committed before its call, and settled after it.

A call that nobody saw the end of stays begun: it may have cost something, and is never forgotten.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from contracts.messages import Command
from steps.leads.pricing import NO_TOKENS_KNOWN, Cost
from steps.runtime.step import Connection

CallOutcome = Literal["answered", "truncated", "refused", "failed", "timed_out"]

# One at a time begins: two that count side by side would both take the same place.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('model calls ' || $1, 0))"

# Calls of all processes. One that nobody saw the end of counts until it is surely over.
_BEGIN = """
INSERT INTO model_calls (tenant_id, call_id, saga_id, attempt, part, outcome)
SELECT $1, $2, $3, $4, $5, 'begun' FROM tenants t
WHERE t.tenant_id = $1 AND t.model_calls > (
    SELECT count(*) FROM model_calls c
    WHERE c.tenant_id = $1 AND c.outcome = 'begun' AND c.started_at > now() - make_interval(secs => $6))
"""

# Only a row that is still begun: nothing that was committed with the leads is ever overwritten.
_SETTLE = """
UPDATE model_calls
SET model = $3, outcome = $4, error = $5, provider_id = $6, input_tokens = $7, cache_read_tokens = $8,
    cache_write_tokens = $9, output_tokens = $10, cost_usd = $11, priced_by = $12, unpriced = $13,
    started_at = $14, seconds = $15, leads = $16, invalid = $17, duplicates = $18
WHERE tenant_id = $1 AND call_id = $2 AND outcome = 'begun'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """What is known of a call that has ended."""

    call_id: UUID
    model: str
    outcome: CallOutcome
    started_at: datetime
    seconds: float
    provider_id: str | None = None
    error: str | None = None
    cost: Cost = NO_TOKENS_KNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the leads in an answer: kept as drafts, or dropped."""

    leads: int = 0
    invalid: int = 0
    duplicates: int = 0


NOTHING_KEPT = Counts()


async def begin(
    connection: Connection, command: Command, call_id: UUID, part: int, *, longest: float
) -> bool:
    """False when the tenant has as many calls under way as it may; the limit is read anew each time.
    `longest`: seconds that a call can last."""
    await connection.execute(_LOCK, command.tenant_id)
    row = (command.tenant_id, call_id, command.saga_id, command.attempt, part, longest)
    return str(await connection.execute(_BEGIN, *row)) == "INSERT 0 1"


async def settle(
    connection: Connection, command: Command, call: CallRecord, counts: Counts = NOTHING_KEPT
) -> None:
    cost = call.cost
    await connection.execute(
        _SETTLE,
        command.tenant_id,
        call.call_id,
        call.model,
        call.outcome,
        call.error,
        call.provider_id,
        cost.input_tokens,
        cost.cache_read_tokens,
        cost.cache_write_tokens,
        cost.output_tokens,
        cost.usd,
        cost.priced_by,
        cost.unpriced,
        call.started_at,
        Decimal(f"{call.seconds:.3f}"),
        counts.leads,
        counts.invalid,
        counts.duplicates,
    )
