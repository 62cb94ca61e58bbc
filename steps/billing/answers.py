"""Answers that were owed: committed when Stripe's word is known, published afterwards, until confirmed."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from contracts.facts import RefundReported, UsageReported
from contracts.messages import Reply
from contracts.outcomes import Done, Outcome, Rejected
from steps.runtime.step import Connection, Worker

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)

SAGAS: Mapping[str, str] = {"report_to_stripe": "lead", "refund_at_stripe": "refund"}
"""The steps that are answered here, and the saga that each belongs to."""

MOST = 200
"""Answers in one transaction and in one message."""

_DUE = """
SELECT e.saga_id, e.step, e.attempt, i.intent_id, i.identifier, i.value, i.state, i.error
FROM effects e
JOIN ledger l USING (tenant_id, saga_id)
JOIN carriers c USING (tenant_id, ledger_id)
JOIN intents i USING (tenant_id, intent_id)
WHERE e.tenant_id = $1 AND e.owed AND e.attempt > e.answered AND e.state = 'open'
    AND e.direction = 'do' AND e.step = ANY($2::text[])
    AND (i.state = 'confirmed' OR i.state = 'rejected' AND i.retry_at IS NULL)
ORDER BY e.saga_id, e.step LIMIT $3 FOR NO KEY UPDATE OF e
"""

_ANSWER = """
UPDATE effects e SET answered = e.attempt, answer = a.answer::jsonb, updated_at = now(),
    state = CASE WHEN a.done THEN 'done' ELSE e.state END,
    outside = CASE WHEN a.done THEN e.outside || a.outside::jsonb ELSE e.outside END
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bool[], $6::text[])
    AS a (saga_id, step, answer, done, outside)
WHERE e.tenant_id = $1 AND e.saga_id = a.saga_id AND e.step = a.step AND e.direction = 'do'
"""

_UNPUBLISHED = """
SELECT saga_id, step, attempt, answer::text FROM effects
WHERE tenant_id = $1 AND owed AND attempt = answered AND direction = 'do' AND step = ANY($2::text[])
ORDER BY saga_id, step LIMIT $3
"""

# Only this attempt's debt: an operator's replay may have made a new one meanwhile.
_PUBLISHED = """
UPDATE effects e SET owed = false
FROM unnest($2::uuid[], $3::text[], $4::int[]) AS p (saga_id, step, attempt)
WHERE e.tenant_id = $1 AND e.saga_id = p.saga_id AND e.step = p.step AND e.direction = 'do'
    AND e.attempt = p.attempt AND e.answered = p.attempt
"""


async def give(worker: Worker, tenant_id: str) -> None:
    """Answers every saga of the tenant whose send is settled. Broken off anywhere, the next call goes on; a
    reply may be sent twice, never lost. Raises Unconfirmed or Unroutable."""
    while await _commit(worker, tenant_id) == MOST:
        pass
    while await _publish(worker, tenant_id) == MOST:
        pass


async def _commit(worker: Worker, tenant_id: str) -> int:
    async with worker.database.transaction(tenant_id, name="flush.answer") as connection:
        rows = await connection.fetch(_DUE, tenant_id, list(SAGAS), MOST)
        if rows:
            await _save(connection, tenant_id, rows)
    return len(rows)


async def _save(connection: Connection, tenant_id: str, rows: list[Any]) -> None:
    outcomes = [_outcome(row) for row in rows]
    await connection.execute(
        _ANSWER,
        tenant_id,
        [row["saga_id"] for row in rows],
        [row["step"] for row in rows],
        [outcome.model_dump_json() for outcome in outcomes],
        [isinstance(outcome, Done) for outcome in outcomes],
        [json.dumps(outside(row)) for row in rows],
    )


async def _publish(worker: Worker, tenant_id: str) -> int:
    async with worker.database.transaction(tenant_id, name="flush.unpublished") as connection:
        rows = await connection.fetch(_UNPUBLISHED, tenant_id, list(SAGAS), MOST)
    if rows:
        await worker.answer([_reply(tenant_id, row) for row in rows])
        async with worker.database.transaction(tenant_id, name="flush.published") as connection:
            columns = ([row[name] for row in rows] for name in ("saga_id", "step", "attempt"))
            await connection.execute(_PUBLISHED, tenant_id, *columns)
    return len(rows)


def confirmed(step: str, row: Mapping[str, Any]) -> Done:
    """The answer of a saga whose usage Stripe has; `row` is its intent."""
    model = RefundReported if step == "refund_at_stripe" else UsageReported
    fact = model(intent_id=row["intent_id"], identifier=row["identifier"], sent=row["value"])
    return Done(facts=fact.model_dump(mode="json"))


def outside(row: Mapping[str, Any]) -> dict[str, str]:
    """The ids by which a confirmed intent is found. A net of nothing was never told to Stripe."""
    intent = {"intent_id": str(row["intent_id"])}
    return intent if row["value"] == 0 else intent | {"stripe_identifier": row["identifier"]}


def _outcome(row: Mapping[str, Any]) -> Outcome:
    if row["state"] == "confirmed":
        return confirmed(row["step"], row)
    return Rejected(reason=f"Stripe was not told: {row['error']}", error="StripeRejected")


def _reply(tenant_id: str, row: Mapping[str, Any]) -> Reply:
    return Reply(
        tenant_id=tenant_id,
        saga_id=row["saga_id"],
        saga=SAGAS[row["step"]],
        step=row["step"],
        direction="do",
        attempt=row["attempt"],
        outcome=OUTCOME.validate_python(json.loads(row["answer"])),
    )
