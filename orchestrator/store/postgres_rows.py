"""What statements take and give: parallel arrays in, records out."""

from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

from contracts.ids import Direction
from orchestrator.store import codec
from orchestrator.store.admission import Remembered, RequestKey
from orchestrator.store.fingerprint import fingerprint
from orchestrator.store.port import (
    Change,
    EventOut,
    Foreign,
    Incoming,
    Letter,
    Order,
    Refusal,
    SagaKey,
    SagaVersion,
    Stored,
)
from orchestrator.store.wake import needed_at

Columns = list[list[Any]]
"""One list for each parameter of a statement, all of the same length."""


def columns(rows: Collection[tuple[Any, ...]], width: int = 0) -> Columns:
    """Turns rows on their side. When there may be none, `width` says how long one would be."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


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
        ],
        width=13,
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
        ],
        width=9,
    )


def of_entries(changes: Sequence[Change]) -> Columns:
    return columns(
        [
            (*c.before.key, seq, entry.at, entry.kind, codec.entry_text(entry))
            for c in changes
            for seq, entry in enumerate(c.entries, start=c.before.entries + 1)
        ],
        width=6,
    )


def of_events(events: Collection[EventOut]) -> Columns:
    said = [(e.event_id, e.tenant_id, e.event, codec.storable(e.body)) for e in events]
    return columns(said, width=4)


def of_refusals(refusals: Collection[Refusal]) -> Columns:
    return columns(
        [
            (
                each.tenant_id,
                codec.storable(each.reason),
                codec.storable(each.routing_key),
                codec.storable(each.user),
                codec.storable(each.message_id),
            )
            for each in refusals
        ]
    )


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
                letter.routing_key and codec.storable(letter.routing_key),
                letter.times_seen,
            )
            for letter in letters
        ]
    )


def of_versions(versions: Collection[SagaVersion]) -> list[str]:
    """As statements compare them."""
    return sorted(f"{saga} v{version}" for saga, version in versions)


def key(record: Any) -> SagaKey:
    return (record["tenant_id"], record["saga_id"])


def request_key(record: Any) -> RequestKey:
    return (record["tenant_id"], record["saga"], record["request_id"])


def remembered(record: Any) -> Remembered:
    return Remembered(record["content_hash"], record["saga_id"])


def stored(
    record: Any, versions: Container[SagaVersion], known: Mapping[SagaKey, Stored]
) -> Stored | Foreign:
    """`known`: the sagas of which the record says no more than that they still stand there."""
    if (record["saga"], record["version"]) not in versions:
        return Foreign(key(record))
    if record["state"] is None:
        return known[key(record)]
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
        key=None if record["saga_id"] is None else key(record),
        kind=record["kind"],
        verdict=record["verdict"],
        actor=record["actor"],
        reason=record["reason"],
        at=None if record["at_step"] is None else _at(record),
        letter=None if record["dead_letter_id"] is None else _letter(record),
    )


def _at(record: Any) -> tuple[str, Direction, int]:
    return record["at_step"], record["at_direction"], record["at_attempt"]


def _letter(record: Any) -> Letter:
    """The one that an order is about."""
    return Letter(
        dead_letter_id=record["dead_letter_id"],
        queue=record["queue"],
        message_id=record["message_id"],
        error=record["error"],
        reason=record["letter_reason"],
        message=bytes(record["message"]),
        routing_key=record["routing_key"],
        tenant_id=record["letter_tenant_id"],
        saga_id=record["letter_saga_id"],
        saga=record["saga"],
        step=record["step"],
        direction=record["direction"],
        attempt=record["attempt"],
        status=record["status"],
        times_seen=record["times_seen"],
    )


def event(record: Any) -> EventOut:
    return EventOut(
        event_id=record["event_id"],
        tenant_id=record["tenant_id"],
        event=record["event"],
        body=record["body"],
    )
