"""A history read from a database, as its superuser: row-level security does not apply."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from contracts.outcomes import Outcome
from orchestrator.core.log import Entry
from orchestrator.store.codec import read_entry, read_request, read_state
from orchestrator.store.port import SagaKey
from tests.kit.history.records import (
    Carrier,
    DeadLetter,
    EffectRow,
    Hold,
    IntentRow,
    LeadCount,
    LedgerRow,
    Logged,
    ModelCalls,
    Quota,
    SagaRow,
    WaitingEvent,
)
from tests.kit.webhooks import opened

T = TypeVar("T")
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
PREFETCH = 5000

_LOG = "SELECT tenant_id, saga_id, seq, entry::text FROM saga_log ORDER BY tenant_id, saga_id, seq"
_SAGAS = """
SELECT tenant_id, saga_id, saga, version, request_id, request::text, status, state::text, entries FROM sagas
ORDER BY tenant_id, saga_id
"""
_EFFECTS = """
SELECT tenant_id, saga_id, step, direction, state, attempt, answered, answer::text, owed FROM effects
"""
_LEADS = """
SELECT tenant_id, saga_id, count(visible_at)::int AS visible, (count(*) - count(visible_at))::int AS drafts
FROM leads GROUP BY 1, 2
"""
_LEDGER = """
SELECT tenant_id, saga_id, ledger_id, request_id, kind, leads, event_name, original_id FROM ledger
"""
_CARRIERS = "SELECT tenant_id, ledger_id, intent_id FROM carriers"
_INTENTS = "SELECT tenant_id, intent_id, identifier, customer, value, state, event_name FROM intents"
_HOLDS = "SELECT tenant_id, saga_id, leads, state, period_start::text AS period FROM holds"
_QUOTAS = "SELECT tenant_id, used, held, period_start::text AS period FROM quota_periods"
_WAITING = "SELECT event_id, tenant_id, event FROM events_out"
_LETTERS = "SELECT tenant_id, saga_id, queue, error, status, step, direction, attempt FROM dead_letters"
_CALLS = """
SELECT tenant_id, saga_id, (count(*) FILTER (WHERE outcome = 'begun'))::int AS begun,
       (count(*) FILTER (WHERE outcome <> 'begun'))::int AS known
FROM model_calls GROUP BY 1, 2
"""
_NOTICES = "SELECT tenant_id, saga_id, event, state, title, body FROM notices"
_WEBHOOKS = "SELECT tenant_id, url, sealed, sealed_by FROM discord_webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeText:
    """A notice as it was to be said."""

    key: SagaKey
    event: str
    state: Any
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What the database has on record, all of one moment."""

    sagas: list[SagaRow]
    effects: list[EffectRow]
    leads: list[LeadCount]
    ledger: list[LedgerRow]
    carriers: list[Carrier]
    intents: list[IntentRow]
    holds: list[Hold]
    quotas: list[Quota]
    waiting: list[WaitingEvent]
    dead_letters: list[DeadLetter]
    model_calls: list[ModelCalls]
    notices: list[NoticeText]
    webhooks: dict[str, str]
    """The vendor's id of each tenant's own."""


async def read_tables(database_url: str) -> Tables:
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            reader = _Reader(connection)
            logs = await reader.logs()
            return Tables(
                sagas=await reader.rows(_SAGAS, lambda row: _saga(row, logs)),
                effects=await reader.rows(_EFFECTS, _effect),
                leads=await reader.rows(_LEADS, _of(LeadCount)),
                ledger=await reader.rows(_LEDGER, _of(LedgerRow)),
                carriers=await reader.rows(_CARRIERS, lambda row: Carrier(**row)),
                intents=await reader.rows(_INTENTS, lambda row: IntentRow(**row)),
                holds=await reader.rows(_HOLDS, _of(Hold)),
                quotas=await reader.rows(_QUOTAS, lambda row: Quota(**row)),
                waiting=await reader.rows(_WAITING, _waiting),
                dead_letters=await reader.rows(_LETTERS, _letter),
                model_calls=await reader.rows(_CALLS, _of(ModelCalls)),
                notices=await reader.rows(_NOTICES, _of(NoticeText)),
                webhooks=dict(await reader.rows(_WEBHOOKS, _webhook)),
            )
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Streams: the text of a row is gone once its record is made."""

    connection: Any

    async def rows(self, query: str, make: Callable[[Any], T]) -> list[T]:
        return [make(row) async for row in self._stream(query)]

    async def logs(self) -> dict[SagaKey, list[Logged]]:
        found: dict[SagaKey, list[Logged]] = {}
        async for row in self._stream(_LOG):
            entry: Entry = read_entry(row["entry"])
            found.setdefault(_key(row), []).append(Logged(row["seq"], entry))
        return found

    def _stream(self, query: str) -> AsyncIterator[Any]:
        rows: AsyncIterator[Any] = aiter(self.connection.cursor(query, prefetch=PREFETCH))
        return rows


def _key(row: Mapping[str, Any]) -> SagaKey:
    return row["tenant_id"], row["saga_id"]


def _of(make: Callable[..., T]) -> Callable[[Any], T]:
    """For records whose fields are the columns, but for the saga's key."""

    def of(row: Any) -> T:
        columns = {name: value for name, value in row.items() if name not in {"tenant_id", "saga_id"}}
        return make(key=_key(row), **columns)

    return of


def _saga(row: Any, logs: Mapping[SagaKey, list[Logged]]) -> SagaRow:
    return SagaRow(
        key=_key(row),
        saga=row["saga"],
        version=row["version"],
        request_id=row["request_id"],
        status=row["status"],
        state=read_state(row["state"], read_request(row["request"])),
        entries=row["entries"],
        log=tuple(logs.get(_key(row), ())),
    )


def _effect(row: Any) -> EffectRow:
    answer = None if row["answer"] is None else _OUTCOME.validate_json(row["answer"])
    return EffectRow(
        key=_key(row),
        step=row["step"],
        direction=row["direction"],
        state=row["state"],
        attempt=row["attempt"],
        answered=row["answered"],
        answer=answer,
        owed=row["owed"],
    )


def _waiting(row: Any) -> WaitingEvent:
    event_id: UUID = row["event_id"]
    return WaitingEvent(event_id=event_id, tenant_id=row["tenant_id"], name=row["event"])


def _webhook(row: Any) -> tuple[str, str]:
    *_, webhook, _token = opened(row).split("/")
    return row["tenant_id"], webhook


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(
        key=None if row["saga_id"] is None else _key(row),
        queue=row["queue"],
        error=row["error"],
        status=row["status"],
        step=row["step"],
        direction=row["direction"],
        attempt=row["attempt"],
    )
