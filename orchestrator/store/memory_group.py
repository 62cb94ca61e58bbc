"""One transaction of the store in memory: it works on a draft of all tables."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from contracts.names import REPLIES
from orchestrator.store.admission import Remembered, RequestKey, judge, key_of
from orchestrator.store.codec import storable
from orchestrator.store.errors import LogConflict
from orchestrator.store.letters import seen_again
from orchestrator.store.memory_tables import Tables, moved_row, new_row
from orchestrator.store.port import (
    Admission,
    Admitted,
    Change,
    EventOut,
    Foreign,
    Incoming,
    Letter,
    LetterStatus,
    Refusal,
    SagaKey,
    SagaVersion,
    Stored,
    Turns,
)


class MemoryGroup:
    def __init__(self, tables: Tables, now: datetime, versions: Collection[SagaVersion]) -> None:
        self._tables = tables
        self._now = now
        self._versions = versions

    async def admit(self, requests: Sequence[Incoming]) -> list[Admission]:
        statuses = {tenant_id: tenant.status for tenant_id, tenant in self._tables.tenants.items()}
        answers = judge(requests, remembered=self._tables.requests, tenants=statuses)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Admitted):
                remembered = Remembered(request.content_hash, request.saga_id)
                self._tables.requests[key_of(request)] = remembered
        return answers

    async def find(self, wanted: Collection[RequestKey]) -> dict[RequestKey, SagaKey]:
        known = self._tables.requests
        return {request: (request[0], known[request].saga_id) for request in wanted if request in known}

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        found = {key: self._tables.sagas.get(key) for key in sorted(set(keys))}
        return {
            key: row.stored(key) if row.saga_version in self._versions else Foreign(key)
            for key, row in found.items()
            if row is not None
        }

    async def turns(self, *, limit: int, tenants: Collection[str]) -> Turns:
        flying = self._tables.flying()
        free = max(limit - flying.total(), 0)
        rooms = {
            tenant_id: max(tenant.sagas_in_flight - flying[tenant_id], 0)
            for tenant_id, tenant in self._tables.tenants.items()
        }
        lines: dict[str, list[SagaKey]] = {}
        for key, row in sorted(self._tables.sagas.items()):
            if row.status == "waiting" and row.saga_version in self._versions:
                lines.setdefault(key[0], []).append(key)
        turns = sorted(
            (flying[tenant_id] + place, key[1], key)
            for tenant_id, line in lines.items()
            for place, key in enumerate(line[: rooms[tenant_id]], 1)
        )
        waiting = tuple(key for _, _, key in turns[:free])
        asked = {*tenants, *(tenant_id for tenant_id, _ in waiting)}
        room = {tenant_id: rooms[tenant_id] for tenant_id in sorted(asked) if tenant_id in rooms}
        return Turns(free=free, room=room, waiting=waiting)

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        """Raises LogConflict. Changes without entries say nothing and are left out."""
        sagas = self._tables.sagas
        for change in changes:
            if not change.entries:
                continue
            key, row = change.before.key, sagas.get(change.before.key)
            if change.before.entries != (0 if row is None else len(row.log)):
                raise LogConflict
            sagas[key] = new_row(change) if row is None else moved_row(row, change)
        for event in events:
            plain = replace(event, body=storable(event.body))
            self._tables.events.setdefault(event.event_id, (plain, self._now))

    async def bury(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            plain = replace(
                letter,
                message_id=storable(letter.message_id),
                error=storable(letter.error),
                reason=storable(letter.reason),
            )
            name = plain.queue, plain.message_id
            earlier = self._tables.letters.get(name)
            self._tables.letters[name] = plain if earlier is None else seen_again(earlier, plain)

    async def audit(self, refusals: Sequence[Refusal]) -> None:
        self._tables.refusals += [
            replace(each, routing_key=storable(each.routing_key), user=storable(each.user))
            for each in refusals
        ]

    async def close_letters(self, key: SagaKey, status: LetterStatus) -> None:
        for name, letter in self._tables.letters.items():
            of_command = (letter.tenant_id, letter.saga_id) == key and letter.queue != REPLIES
            if of_command and letter.status == "open":
                self._tables.letters[name] = replace(letter, status=status)

    async def mark_replayed(self, letter: Letter) -> bool:
        name = letter.queue, letter.message_id
        if self._tables.letters[name] != letter or letter.status != "open":
            return False
        self._tables.letters[name] = replace(letter, status="replayed")
        return True

    async def finish_orders(self, results: Sequence[tuple[UUID, str]]) -> None:
        for order_id, result in results:
            order, earlier = self._tables.orders.get(order_id, (None, None))
            if order is not None and earlier is None:
                self._tables.orders[order_id] = (order, storable(result))
