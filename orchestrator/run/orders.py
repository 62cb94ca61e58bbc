"""What operators ordered, as news for the machine."""

from datetime import datetime
from typing import assert_never

from contracts.ids import Direction
from orchestrator.core.news import Cancel, News, Replay, Resolve
from orchestrator.core.state import State
from orchestrator.store.port import Order


def stands(state: State, at: tuple[str, Direction, int]) -> bool:
    """Whether a saga is parked at this very attempt: what was said of one step must not settle another."""
    return state.status == "parked" and (state.step, state.direction, state.attempt) == at


def news_of(order: Order, at: datetime) -> News:
    match order.kind:
        case "cancel":
            return Cancel(at=at, by=order.actor, reason=order.reason)
        case "replay":
            return Replay(at=at, by=order.actor, reason=order.reason)
        case "resolve":
            return Resolve(at=at, verdict=order.verdict or "done", by=order.actor, reason=order.reason)
        case _:
            assert_never(order.kind)
