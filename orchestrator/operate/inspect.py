"""Everything about one saga: its timeline, what its steps did, what was billed, said and buried."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from contracts.process.postgres import Database, set_tenant
from orchestrator.core.log import Entry
from orchestrator.operate.find import Standing, find
from orchestrator.operate.lines import (
    BuriedLine,
    Effect,
    LedgerLine,
    ModelCallLine,
    ModelUse,
    NoticeLine,
    OrderLine,
)
from orchestrator.operate.plain import rows
from orchestrator.operate.timeline import Moment, Unread, timeline
from orchestrator.sagas import sagas
from orchestrator.store.codec import read_entry
from orchestrator.store.statements import Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    saga: Standing
    request: dict[str, Any]
    facts: dict[str, Any]
    due_at: datetime | None
    timeline: list[Moment]
    effects: list[Effect]
    ledger: list[LedgerLine]
    notices: list[NoticeLine]
    model: ModelUse
    model_calls: list[ModelCallLine]
    dead_letters: list[BuriedLine]
    orders: list[OrderLine]


_STATE = "SELECT request::text, state::text FROM sagas WHERE tenant_id = $1 AND saga_id = $2"

_EFFECTS = """
SELECT step, direction, state, attempt, answered, answer::text, owed, outside::text, updated_at
FROM effects WHERE tenant_id = $1 AND saga_id = $2 ORDER BY updated_at, step, direction
"""

# A request's usage row, and the reversals that point at it.
_LEDGER = """
SELECT l.ledger_id, l.saga_id, l.kind, l.leads, l.unit_price, l.currency, l.period_start, l.occurred_at,
    l.actor, l.reason, i.intent_id, coalesce(i.identifier, k.stripe_id, k.credit_id::text) AS identifier,
    coalesce(i.state, k.state) AS intent, i.value AS intent_value, coalesce(i.error, k.error) AS intent_error,
    k.instrument, k.invoice, k.amount + k.tax AS credited
FROM ledger l LEFT JOIN carriers c USING (tenant_id, ledger_id)
LEFT JOIN intents i USING (tenant_id, intent_id)
LEFT JOIN credits k USING (tenant_id, credit_id)
WHERE l.tenant_id = $1 AND (l.saga_id = $2 OR l.original_id = (
    SELECT o.ledger_id FROM ledger o WHERE o.tenant_id = $1 AND o.saga_id = $2))
ORDER BY l.occurred_at, l.ledger_id
"""

_NOTICES = """
SELECT event, title, state, attempts, error, created_at, settled_at
FROM notices WHERE tenant_id = $1 AND saga_id = $2 ORDER BY created_at
"""

_MODEL = """
SELECT count(*)::int AS calls, count(*) FILTER (WHERE outcome = 'answered')::int AS answered,
    coalesce(sum(input_tokens), 0)::int AS input_tokens,
    coalesce(sum(output_tokens), 0)::int AS output_tokens,
    coalesce(sum(cost_usd), 0) AS cost_usd, count(*) FILTER (WHERE unpriced)::int AS unpriced
FROM model_calls WHERE tenant_id = $1 AND saga_id = $2
"""

_MODEL_CALLS = """
SELECT call_id, part, attempt, outcome, error, model, input_tokens, output_tokens, cost_usd, seconds,
    provider_id, leads, started_at
FROM model_calls WHERE tenant_id = $1 AND saga_id = $2 ORDER BY started_at, part, call_id
"""

_DEAD_LETTERS = """
SELECT dead_letter_id, queue, attempt, error, reason, status, last_at
FROM dead_letters WHERE tenant_id = $1 AND saga_id = $2 ORDER BY first_at
"""

_ORDERS = """
SELECT kind, verdict, actor, reason, created_at, result
FROM orders WHERE tenant_id = $1 AND saga_id = $2 ORDER BY created_at
"""


async def show(database: Database, named: str, tenant_id: str | None = None) -> Shown:
    """`named`: the id of a saga, a request or a refund. Raises NotFound, and Refused when several are
    meant."""
    async with database.transaction(name="operate.inspect") as connection:
        standing = await find(connection, named, tenant_id)
        # What steps keep can be read for one tenant at a time only.
        await set_tenant(connection, standing.tenant_id)
        return await _gather(connection, standing)


async def _gather(connection: Any, standing: Standing) -> Shown:
    key = standing.tenant_id, standing.saga_id
    stored = await connection.fetchrow(_STATE, *key)
    state = json.loads(stored["state"])
    log = [read_any(record["entry"]) for record in await Statements(connection).fetch("history", *key)]
    definition = sagas().get((standing.saga, standing.version))
    (model,) = rows(ModelUse, await connection.fetch(_MODEL, *key))
    return Shown(
        saga=standing,
        request=json.loads(stored["request"]),
        facts=state.get("facts", {}),
        due_at=_time(state.get("due_at")),
        timeline=timeline(definition, log),
        effects=[_effect(record) for record in await connection.fetch(_EFFECTS, *key)],
        ledger=rows(LedgerLine, await connection.fetch(_LEDGER, *key)),
        notices=rows(NoticeLine, await connection.fetch(_NOTICES, *key)),
        model=model,
        model_calls=rows(ModelCallLine, await connection.fetch(_MODEL_CALLS, *key)),
        dead_letters=rows(BuriedLine, await connection.fetch(_DEAD_LETTERS, *key)),
        orders=rows(OrderLine, await connection.fetch(_ORDERS, *key)),
    )


def read_any(text: str) -> Entry | Unread:
    try:
        return read_entry(text)
    except ValidationError:
        entry = json.loads(text)
        return Unread(at=datetime.fromisoformat(entry["at"]), kind=entry["kind"])


def _time(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)


def _effect(record: Any) -> Effect:
    fields = dict(record)
    answer = fields.pop("answer")
    outside = json.loads(fields.pop("outside"))
    return Effect(**fields, answer=None if answer is None else json.loads(answer), outside=outside)
