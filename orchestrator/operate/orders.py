"""What operators order: a row that the orchestrator takes as news, written together with its audit row.

One order about a saga, or about a dead letter, is open at a time. Of two operators at once the second one is
told what the first one did.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import uuid_utils.compat

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import Refused
from orchestrator.operate.find import find
from orchestrator.operate.settle import settle
from orchestrator.operate.standing import At, stands

Kind = Literal["cancel", "replay", "resolve"]
Verdict = Literal["done", "not_done"]

LOOK_EVERY = 0.1
"""Seconds between two looks at the result of an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """`result`: 'done', or why the order was refused; missing while no orchestrator has taken it."""

    order_id: UUID
    tenant_id: str | None
    saga_id: UUID | None
    kind: Kind
    verdict: Verdict | None
    result: str | None
    dead_letter_id: UUID | None = None

    @property
    def done(self) -> bool:
        return self.result == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """About a saga, or about a dead letter without one."""

    kind: Kind
    actor: str
    reason: str
    tenant_id: str | None = None
    saga_id: UUID | None = None
    verdict: Verdict | None = None
    dead_letter_id: UUID | None = None

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise Refused("an order needs a reason")


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('leadsaga order ' || $1, 0))"

_OPEN = """
SELECT kind, actor, created_at FROM orders
WHERE taken_at IS NULL AND (saga_id = $1 OR dead_letter_id = $2) ORDER BY created_at LIMIT 1
"""

_INSERT = """
INSERT INTO orders (order_id, tenant_id, saga_id, kind, verdict, actor, reason, dead_letter_id,
                    step, direction, attempt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


async def order(  # noqa: PLR0913 - what an order says
    database: Database,
    named: str,
    kind: Kind,
    *,
    actor: str,
    reason: str,
    tenant_id: str | None = None,
    verdict: Verdict | None = None,
    wait: float = 15.0,
) -> Ordered:
    """For the saga with this id, or that began with this request (or refund) id. Waits up to `wait` seconds
    for the result. Raises NotFound, and Refused without a reason, when several sagas are meant, and for what
    the saga does not allow. An order that nobody takes in time stays, and is carried out as soon as an
    orchestrator runs."""
    async with database.transaction(name="operate.order") as connection:
        saga = await find(connection, named, tenant_id)
        new = NewOrder(
            kind=kind,
            actor=actor,
            reason=reason,
            tenant_id=saga.tenant_id,
            saga_id=saga.saga_id,
            verdict=verdict,
        )
        await alone(connection, new)
        at = await stands(connection, saga.tenant_id, saga.saga_id)
        at.expect(kind, verdict)
        effect = None if verdict is None else await settle(connection, at, verdict)
        after = {"effect": effect}
        # A cancel means the saga, wherever it stands; all else the step at which it is parked.
        where = None if kind == "cancel" else at
        order_id = await place(connection, new, where, before=at.told, after=after)
    return await result_of(database, new, order_id, wait)


async def alone(connection: Any, new: NewOrder) -> None:
    """Until the end of the transaction nobody else orders about the same. Raises Refused while an earlier
    order has not been taken."""
    await connection.execute(_LOCK, str(new.saga_id or new.dead_letter_id))
    await expect_none_open(connection, new.saga_id, new.dead_letter_id)


async def expect_none_open(connection: Any, saga_id: UUID | None, dead_letter_id: UUID | None) -> None:
    """Raises Refused."""
    earlier = await connection.fetchrow(_OPEN, saga_id, dead_letter_id)
    if earlier is not None:
        since: datetime = earlier["created_at"]
        raise Refused(
            f"{earlier['actor']} ordered {earlier['kind']} at {since:%Y-%m-%d %H:%M:%S}, "
            "and no orchestrator has taken it yet: is one running?"
        )


async def place(
    connection: Any, new: NewOrder, at: At | None, *, before: dict[str, Any], after: dict[str, Any]
) -> UUID:
    """Row and audit in one transaction. Call `alone` before."""
    order_id: UUID = uuid_utils.compat.uuid7()
    reason = new.reason.strip()
    await connection.execute(
        _INSERT,
        order_id,
        new.tenant_id,
        new.saga_id,
        new.kind,
        new.verdict,
        new.actor,
        reason,
        new.dead_letter_id,
        *((None, None, None) if at is None else at.place),
    )
    told = {"order_id": order_id, "verdict": new.verdict, "dead_letter_id": new.dead_letter_id, **after}
    await audit.record(
        connection,
        actor=new.actor,
        action=f"order {new.kind}",
        tenant_id=new.tenant_id,
        saga_id=new.saga_id,
        reason=reason,
        before=before,
        after={name: value for name, value in told.items() if value is not None},
    )
    return order_id


async def result_of(database: Database, new: NewOrder, order_id: UUID, wait: float) -> Ordered:
    """Waits up to `wait` seconds for what becomes of it."""
    return Ordered(
        order_id=order_id,
        tenant_id=new.tenant_id,
        saga_id=new.saga_id,
        kind=new.kind,
        verdict=new.verdict,
        result=await _result(database, order_id, wait),
        dead_letter_id=new.dead_letter_id,
    )


async def _result(database: Database, order_id: UUID, wait: float) -> str | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        async with database.transaction(name="operate.order_result") as connection:
            result = await connection.fetchval("SELECT result FROM orders WHERE order_id = $1", order_id)
        if result is not None or loop.time() >= deadline:
            return None if result is None else str(result)
        await asyncio.sleep(LOOK_EVERY)
