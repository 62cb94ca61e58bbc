"""Answers that were owed: committed when Stripe's word is known, published afterwards, until confirmed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.facts import RefundReported, UsageReported
from contracts.messages import Reply
from contracts.outcomes import Done, Outcome, Rejected
from steps.billing.intents import CLOSED
from steps.runtime.step import Connection, Worker

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)

SAGAS: Mapping[str, str] = {"report_to_stripe": "lead", "refund_at_stripe": "refund"}
"""The steps that are answered here, and the saga that each belongs to."""

TOLD = frozenset({"confirmed", "manual"})
"""States of a send after which there is nothing more to tell Stripe."""

MOST = 200
"""Answers in one transaction and in one message."""

# Refunds that go another way than with the usage are answered where that is chosen.
_DUE = """
SELECT e.saga_id, e.step, e.attempt, i.intent_id, i.identifier, i.value, i.state, i.error
FROM effects e
JOIN ledger l USING (tenant_id, saga_id)
JOIN carriers c USING (tenant_id, ledger_id)
JOIN intents i USING (tenant_id, intent_id)
WHERE e.tenant_id = $1 AND e.owed AND e.attempt > e.answered AND e.state = 'open'
    AND e.direction = 'do' AND e.step = ANY($2::text[])
    AND (i.state IN ('confirmed', 'manual') OR i.state = 'rejected' AND i.retry_at IS NULL)
    AND NOT (e.step = 'refund_at_stripe' AND l.billing = 'metered' AND (
        coalesce(e.outside->>'instrument', '') = 'negative_event'
        OR i.state = 'rejected' AND i.error = $4))
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
        rows = await connection.fetch(_DUE, tenant_id, list(SAGAS), MOST, CLOSED)
        if rows:
            found = [Answered(row["saga_id"], row["step"], _outcome(row), outside(row)) for row in rows]
            await save(connection, tenant_id, found)
    return len(rows)


@dataclass(frozen=True, slots=True)
class Answered:
    saga_id: UUID
    step: str
    outcome: Outcome
    outside: dict[str, str]


async def save(connection: Connection, tenant_id: str, answered: Sequence[Answered]) -> None:
    """Commits answers that are owed, in the transaction that holds their rows of effects."""
    await connection.execute(
        _ANSWER,
        tenant_id,
        [each.saga_id for each in answered],
        [each.step for each in answered],
        [each.outcome.model_dump_json() for each in answered],
        [isinstance(each.outcome, Done) for each in answered],
        [as_json(each.outside) for each in answered],
    )


def as_json(outside: Mapping[str, str]) -> str:
    return json.dumps(outside)


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
    """The answer of a saga whose usage Stripe has, or need not have; `row` is its intent."""
    model = RefundReported if step == "refund_at_stripe" else UsageReported
    fact = model(intent_id=row["intent_id"], identifier=row["identifier"], sent=_sent(row))
    return Done(facts=fact.model_dump(mode="json"))


def outside(row: Mapping[str, Any]) -> dict[str, str]:
    """The ids by which a confirmed intent is found. A net of nothing was never told to Stripe,
    nor what people bill."""
    intent = {"intent_id": str(row["intent_id"])}
    return intent | {"stripe_identifier": row["identifier"]} if _sent(row) else intent


def _sent(row: Mapping[str, Any]) -> int:
    return 0 if row["state"] == "manual" else int(row["value"])


def _outcome(row: Mapping[str, Any]) -> Outcome:
    if row["state"] in TOLD:
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
