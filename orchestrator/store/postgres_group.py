"""One transaction of the orchestrator on Postgres: a statement for each kind of work, however many sagas."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import asyncpg

from contracts.names import REPLIES
from orchestrator.store import postgres_rows as rows
from orchestrator.store.admission import Remembered, RequestKey, judge, key_of
from orchestrator.store.codec import storable
from orchestrator.store.errors import LogConflict
from orchestrator.store.known import Known
from orchestrator.store.letters import seen_again
from orchestrator.store.port import (
    Admission,
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
from orchestrator.store.statements import Statements
from orchestrator.store.turns import shares


class PostgresGroup:
    def __init__(self, connection: Any, versions: Collection[SagaVersion], known: Known) -> None:
        """A connection inside a transaction; for `load`, or `save`, alone it may be outside of one."""
        self.connection = connection
        self.known = known
        self.saved: list[Change] = []
        self._statements = Statements(connection)
        self.versions = versions

    async def admit(self, requests: Sequence[Incoming]) -> list[Admission]:
        if not requests:
            return []
        firsts: dict[RequestKey, Incoming] = {}
        for request in requests:
            firsts.setdefault(key_of(request), request)
        found = await self._statements.fetch("admit", *rows.of_requests(firsts.values()))
        tenants = {record["tenant_id"]: record["status"] for record in found}
        others = {rows.request_key(record) for record in found if not record["new"]}
        return judge(requests, remembered=await self._remembered(others), tenants=tenants)

    async def _remembered(self, wanted: Collection[RequestKey]) -> dict[RequestKey, Remembered]:
        if not wanted:
            return {}
        found = await self._statements.fetch("requests", *rows.columns(wanted))
        return {rows.request_key(record): rows.remembered(record) for record in found}

    async def find(self, wanted: Collection[RequestKey]) -> dict[RequestKey, SagaKey]:
        known = await self._remembered(wanted)
        return {request: (request[0], earlier.saga_id) for request, earlier in known.items()}

    async def load(self, keys: Collection[SagaKey]) -> dict[SagaKey, Stored | Foreign]:
        if not keys:
            return {}
        known = self.known.among(keys)
        lengths = [(*key, known[key].entries if key in known else 0) for key in set(keys)]
        found = await self._statements.fetch("load", *rows.columns(lengths))
        return {rows.key(record): rows.stored(record, self.versions, known) for record in found}

    async def turns(self, *, limit: int, tenants: Collection[str]) -> Turns:
        """Waits for other groups that give turns, so call it after `admit` and `load`."""
        await self._statements.execute("one_starter")
        places = await self._statements.fetch("places", list(tenants), rows.of_versions(self.versions))
        free = max(limit - sum(place["in_flight"] for place in places), 0)
        rooms = {place["tenant_id"]: place["room"] for place in places}
        share = shares({place["tenant_id"]: place["room"] for place in places if place["waits"]}, free)
        flying = {place["tenant_id"]: place["in_flight"] for place in places}
        waiting = await self._take(share, flying, free)
        asked = {*tenants, *(tenant_id for tenant_id, _ in waiting)}
        room = {tenant_id: rooms[tenant_id] for tenant_id in sorted(asked) if tenant_id in rooms}
        return Turns(free=free, room=room, waiting=waiting)

    async def _take(
        self, share: Mapping[str, int], flying: Mapping[str, int], free: int
    ) -> tuple[SagaKey, ...]:
        if not share:
            return ()
        columns = (list(share), list(share.values()), [flying[tenant_id] for tenant_id in share])
        taken = await self._statements.fetch("turns", *columns, free, rows.of_versions(self.versions))
        return tuple(rows.key(record) for record in taken)

    async def save(self, changes: Sequence[Change], events: Sequence[EventOut] = ()) -> None:
        """Raises LogConflict. Changes without entries say nothing and are left out."""
        changes = sorted((each for each in changes if each.entries), key=lambda each: each.before.key)
        if not changes and not events:
            return
        new = [change for change in changes if change.before.entries == 0]
        moved = [change for change in changes if change.before.entries > 0]
        columns = (rows.of_new(new), rows.of_moved(moved), rows.of_entries(changes), rows.of_events(events))
        try:
            await self._statements.execute("save", *chain(*columns))
        except (asyncpg.SerializationError, asyncpg.UniqueViolationError) as error:
            raise LogConflict from error
        self.saved += changes

    async def bury(self, letters: Sequence[Letter]) -> None:
        each: dict[tuple[str, str], Letter] = {}
        for letter in letters:
            name = letter.queue, storable(letter.message_id)
            each[name] = seen_again(each[name], letter) if name in each else letter
        if each:
            await self._statements.execute("bury", *rows.of_letters(each.values()))

    async def audit(self, refusals: Sequence[Refusal]) -> None:
        if refusals:
            await self._statements.execute("audit", *rows.of_refusals(refusals))

    async def close_letters(self, key: SagaKey, status: LetterStatus) -> None:
        await self._statements.execute("close_letters", *key, status, REPLIES)

    async def mark_replayed(self, letter: Letter) -> bool:
        changed = await self._statements.execute("mark_replayed", letter.dead_letter_id, letter.times_seen)
        return changed == 1

    async def finish_orders(self, results: Sequence[tuple[UUID, str]]) -> None:
        firsts: dict[UUID, str] = {}
        for order_id, result in results:
            firsts.setdefault(order_id, storable(result))
        if firsts:
            await self._statements.execute("finish_orders", *rows.columns(firsts.items()))
