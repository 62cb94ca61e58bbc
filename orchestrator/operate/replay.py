"""Trying a dead letter, or a parked step, again: what that would do, and the order to do it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.names import REPLIES, REQUESTS
from contracts.process.postgres import Database
from orchestrator.operate.dead_letters import DeadLetter, read
from orchestrator.operate.errors import NotFound, OperateError, Refused
from orchestrator.operate.find import find
from orchestrator.operate.orders import NewOrder, Ordered, alone, expect_none_open, place, result_of
from orchestrator.operate.standing import At, stands
from orchestrator.run.letters import why_not_again


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a replay will do. `attempts` so far; `cost`: what it may set going outside of our database;
    `refused`: why it would not be done, empty if it would."""

    does: str
    attempts: int
    cost: str
    refused: str = ""


def of_saga(at: At) -> Foreseen:
    """Raises Refused."""
    at.expect("replay")
    state = at.state
    does = f"asks {at.queue} for attempt {state.attempt + 1}, in saga {at.saga_id} of tenant {at.tenant_id}"
    return Foreseen(does=does, attempts=state.attempt, cost=_cost(at))


def _cost(at: At) -> str:
    step = at.saga.step(at.state.step or "")
    if at.state.direction == "do" and step.answered_by is not None:
        return f"the {step.answered_by} may call the vendor, under the identifier that earlier calls had"
    if at.state.direction == "do" and step.bundle == 1:
        return "it may call a vendor, and a call that was made before may be paid twice"
    return "nothing outside of our database"


def of_letter(letter: DeadLetter) -> Foreseen:
    """Of one that belongs to no saga. Raises Refused."""
    if refusal := why_not_again(letter.queue, letter.routing_key, letter.status, letter.error):
        raise Refused(refusal)
    key = f" under the key {letter.routing_key}" if letter.queue == REQUESTS else ""
    cost = {
        REQUESTS: "a request that is understood this time begins a saga, or attaches to one",
        REPLIES: "a reply that is understood this time may move its saga on",
    }.get(letter.queue, "what is understood this time is carried out by its step")
    return Foreseen(does=f"publishes it to {letter.queue} again{key}", attempts=letter.times_seen, cost=cost)


async def foresee_letter(database: Database, dead_letter_id: UUID) -> Foreseen:
    """Changes nothing. Raises NotFound."""
    async with database.transaction(name="operate.foresee_letter") as connection:
        letter, _ = await read(connection, dead_letter_id)
        try:
            saga_id = letter.saga_id if letter.of_command else None
            await expect_none_open(connection, saga_id, dead_letter_id)
            return _foresee(letter, await _where(connection, letter))
        except OperateError as error:
            return _nothing(letter.attempt or 0, error)


async def foresee_saga(database: Database, named: str, tenant_id: str | None = None) -> Foreseen:
    """Changes nothing. Raises NotFound, and Refused when several sagas are meant."""
    async with database.transaction(name="operate.foresee_saga") as connection:
        saga = await find(connection, named, tenant_id)
        at = await stands(connection, saga.tenant_id, saga.saga_id)
        try:
            await expect_none_open(connection, at.saga_id, None)
            return of_saga(at)
        except OperateError as error:
            return _nothing(at.state.attempt, error)


def _nothing(attempts: int, error: OperateError) -> Foreseen:
    return Foreseen(does="nothing", attempts=attempts, cost="nothing", refused=str(error))


async def replay_letter(
    database: Database, dead_letter_id: UUID, *, actor: str, reason: str, wait: float = 15.0
) -> Ordered:
    """Orders it, as `orders.order` does for a saga. A letter of a saga asks its step for another attempt, if
    the saga is parked there; another one is published again, as it was. Raises NotFound, and Refused without
    a reason, and for a letter whose time is over."""
    async with database.transaction(name="operate.replay_letter") as connection:
        letter, _ = await read(connection, dead_letter_id)
        new = NewOrder(
            kind="replay",
            actor=actor,
            reason=reason,
            tenant_id=letter.tenant_id,
            saga_id=letter.saga_id if letter.of_command else None,
            dead_letter_id=dead_letter_id,
        )
        await alone(connection, new)
        letter, _ = await read(connection, dead_letter_id)
        at = await _where(connection, letter)
        _foresee(letter, at)
        before = {"letter": letter.status, "times_seen": letter.times_seen, **(at.told if at else {})}
        order_id = await place(connection, new, at, before=before, after={})
    return await result_of(database, new, order_id, wait)


async def _where(connection: Any, letter: DeadLetter) -> At | None:
    """Where the saga of a letter stands, if what becomes of the letter is up to it. Raises Refused."""
    if letter.tenant_id is None or letter.saga_id is None or not letter.of_command:
        return None
    try:
        return await stands(connection, letter.tenant_id, letter.saga_id)
    except NotFound as error:
        raise Refused(f"refused: {error}") from error


def _foresee(letter: DeadLetter, at: At | None) -> Foreseen:
    """Raises Refused."""
    if at is None:
        return of_letter(letter)
    foreseen = of_saga(at)
    if at.place != (letter.step, letter.direction, letter.attempt):
        raise Refused(
            f"refused: the saga is parked at {at.queue}, attempt {at.state.attempt}; "
            f"this letter is of {letter.queue}, attempt {letter.attempt}"
        )
    return foreseen
