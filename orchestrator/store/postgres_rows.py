"""What statements take and give: parallel arrays in, records out."""

from collections.abc import Collection, Sequence
from typing import Any

from orchestrator.store import codec
from orchestrator.store.admission import Remembered, RequestKey
from orchestrator.store.fingerprint import fingerprint
from orchestrator.store.port import Change, EventOut, Incoming, Letter, Order, SagaKey, Stored
from orchestrator.store.wake import needed_at

Columns = list[list[Any]]
"""One list for each parameter of a statement, all of the same length."""


def columns(rows: Collection[tuple[Any, ...]]) -> Columns:
    """Turns rows, of which there must be one at least, on their side."""
    return [list(column) for column in zip(*rows, strict=True)]


def of_requests(requests: Collection[Incoming]) -> Columns:
    return columns([(r.tenant_id, r.saga, r.request_id, r.content_hash, r.saga_id) for r in requests])


def of_new(changes: Sequence[Change]) -> Columns:
    return columns(
        [
            (
                *c.before.key,
                c.before.saga,
                c.before.version,
                c.before.request_id,
                codec.request_text(c.state.request),
                c.state.status,
                codec.state_text(c.state),
                len(c.entries),
                c.in_flight,
                needed_at(c.state),
                c.entries[0].at,
                c.entries[-1].at,
            )
            for c in changes
        ]
    )


def of_moved(changes: Sequence[Change]) -> Columns:
    return columns(
        [
            (
                *c.before.key,
                c.before.entries,
                c.state.status,
                codec.state_text(c.state),
                c.before.entries + len(c.entries),
                c.in_flight,
                needed_at(c.state),
                c.entries[-1].at,
            )
            for c in changes
        ]
    )


def of_entries(changes: Sequence[Change]) -> Columns:
    return columns(
        [
            (*c.before.key, seq, entry.at, entry.kind, codec.entry_text(entry))
            for c in changes
            for seq, entry in enumerate(c.entries, start=c.before.entries + 1)
        ]
    )


def of_events(events: Collection[EventOut]) -> Columns:
    return columns([(e.event_id, e.tenant_id, e.event, codec.storable(e.body)) for e in events])


def of_letters(letters: Collection[Letter]) -> Columns:
    return columns(
        [
            (
                letter.dead_letter_id,
                letter.tenant_id,
                letter.saga_id,
                letter.saga,
                letter.step,
                letter.direction,
                letter.attempt,
                letter.queue,
                codec.storable(letter.message_id),
                codec.storable(letter.error),
                codec.storable(letter.reason),
                fingerprint(letter.queue, letter.error, letter.reason),
                letter.message,
                letter.status,
            )
            for letter in letters
        ]
    )


def key(record: Any) -> SagaKey:
    return (record["tenant_id"], record["saga_id"])


def request_key(record: Any) -> RequestKey:
    return (record["tenant_id"], record["saga"], record["request_id"])


def remembered(record: Any) -> Remembered:
    return Remembered(record["content_hash"], record["saga_id"])


def stored(record: Any) -> Stored:
    request = codec.read_request(record["request"])
    return Stored(
        key=key(record),
        saga=record["saga"],
        version=record["version"],
        request_id=record["request_id"],
        entries=record["entries"],
        state=codec.read_state(record["state"], request),
    )


def order(record: Any) -> Order:
    return Order(
        order_id=record["order_id"],
        key=key(record),
        kind=record["kind"],
        verdict=record["verdict"],
        actor=record["actor"],
        reason=record["reason"],
    )


def event(record: Any) -> EventOut:
    return EventOut(
        event_id=record["event_id"],
        tenant_id=record["tenant_id"],
        event=record["event"],
        body=record["body"],
    )
