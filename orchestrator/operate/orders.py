"""What operators order: a row that the orchestrator takes as news, written together with its audit row."""

import asyncio
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import uuid_utils.compat

from contracts.process.postgres import Database
from orchestrator.operate import audit
from orchestrator.operate.errors import Refused
from orchestrator.operate.find import find

Kind = Literal["cancel", "replay", "resolve"]
Verdict = Literal["done", "not_done"]

LOOK_EVERY = 0.1
"""Seconds between two looks at the result of an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """`result`: 'done', or why the order was refused; missing while no orchestrator has taken it."""

    order_id: UUID
    tenant_id: str
    saga_id: UUID
    kind: Kind
    verdict: Verdict | None
    result: str | None

    @property
    def done(self) -> bool:
        return self.result == "done"


_INSERT = """
INSERT INTO orders (order_id, tenant_id, saga_id, kind, verdict, actor, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7)
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
    for the result. Raises NotFound, and Refused without a reason or when several sagas are meant. An order
    that nobody takes in time stays, and is carried out as soon as an orchestrator runs."""
    if not reason.strip():
        raise Refused("an order needs a reason")
    order_id = uuid_utils.compat.uuid7()
    async with database.transaction() as connection:
        standing = await find(connection, named, tenant_id)
        await connection.execute(
            _INSERT, order_id, standing.tenant_id, standing.saga_id, kind, verdict, actor, reason.strip()
        )
        await audit.record(
            connection,
            actor=actor,
            action=f"order {kind}",
            tenant_id=standing.tenant_id,
            saga_id=standing.saga_id,
            reason=reason.strip(),
            before={"status": standing.status, "step": standing.step, "direction": standing.direction},
            after={"order_id": order_id, "verdict": verdict},
        )
    return Ordered(
        order_id=order_id,
        tenant_id=standing.tenant_id,
        saga_id=standing.saga_id,
        kind=kind,
        verdict=verdict,
        result=await _result(database, order_id, wait),
    )


async def _result(database: Database, order_id: UUID, wait: float) -> str | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        result = await database.pool.fetchval("SELECT result FROM orders WHERE order_id = $1", order_id)
        if result is not None or loop.time() >= deadline:
            return None if result is None else str(result)
        await asyncio.sleep(LOOK_EVERY)
