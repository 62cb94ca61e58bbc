"""Whose turn it is: round-robin over tenants, under the limits. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from orchestrator.core.definition import Saga
from orchestrator.core.state import State
from orchestrator.store.port import SagaKey, Turns


def choose(turns: Turns, newcomers: Sequence[SagaKey]) -> list[SagaKey]:
    """Sagas that may start now. Those that waited come first; newcomers of this group share what is left, so
    that an idle system starts a saga in the transaction that accepts it."""
    chosen: list[SagaKey] = []
    room = dict(turns.room)
    for key in [*turns.waiting, *_round_robin(newcomers)]:
        if len(chosen) >= turns.free:
            break
        if room.get(key[0], 0) > 0:
            room[key[0]] -= 1
            chosen.append(key)
    return chosen


def _round_robin(keys: Sequence[SagaKey]) -> list[SagaKey]:
    turn: dict[str, int] = defaultdict(int)
    order: list[tuple[int, int, SagaKey]] = []
    for arrival, key in enumerate(keys):
        order.append((turn[key[0]], arrival, key))
        turn[key[0]] += 1
    return [key for _, _, key in sorted(order)]


def takes_place(saga: Saga, state: State) -> bool:
    """Whether a saga counts against the limits. Once it only waits for a deferred answer (a flush) its leads
    are delivered and it costs nothing: an outage of that vendor must not stop new requests."""
    if state.status not in {"running", "unwinding"}:
        return False
    for step in saga.steps:
        if step.answered_by is not None:
            return False
        if step.name == state.step:
            return True
    return True
