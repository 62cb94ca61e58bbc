"""The store on a real database, beside a connection that may do what the engine may not."""

from typing import Literal
from uuid import UUID

from contracts.process.postgres import Database
from orchestrator.core.log import Entry
from orchestrator.sagas import sagas
from orchestrator.store.codec import read_entry
from orchestrator.store.port import Order, SagaKey
from orchestrator.store.postgres import PostgresStore

ADD_TENANT = """
INSERT INTO tenants (tenant_id, name, plan_id, status, sagas_in_flight) VALUES ($1, $1, 'basic', $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET status = excluded.status, sagas_in_flight = excluded.sagas_in_flight
"""
ADD_ORDER = """
INSERT INTO orders (order_id, tenant_id, saga_id, kind, verdict, actor, reason, dead_letter_id,
                    step, direction, attempt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
HISTORY = "SELECT entry::text FROM saga_log WHERE tenant_id = $1 AND saga_id = $2 ORDER BY seq"
ADD_PLAN = (
    "INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('basic', 1, 'usd', 100)"
)


class PostgresWorld:
    def __init__(self, engine: Database, owner: Database) -> None:
        self.store = PostgresStore(engine, versions=sagas())
        self.engine = engine
        self.owner = owner

    async def add_tenant(
        self, tenant_id: str, *, status: Literal["active", "suspended"] = "active", sagas_in_flight: int = 50
    ) -> None:
        await self.owner.pool.execute(ADD_TENANT, tenant_id, status, sagas_in_flight)

    async def add_order(self, order: Order) -> None:
        await self.owner.pool.execute(
            ADD_ORDER,
            order.order_id,
            *(order.key or (None, None)),
            order.kind,
            order.verdict,
            order.actor,
            order.reason,
            None if order.letter is None else order.letter.dead_letter_id,
            *(order.at or (None, None, None)),
        )

    async def order_result(self, order_id: UUID) -> str | None:
        result = await self.owner.pool.fetchval("SELECT result FROM orders WHERE order_id = $1", order_id)
        return None if result is None else str(result)

    async def history(self, key: SagaKey) -> list[Entry]:
        found = await self.owner.pool.fetch(HISTORY, *key)
        return [read_entry(record["entry"]) for record in found]

    async def letters(self) -> list[tuple[str, str, str]]:
        found = await self.owner.pool.fetch(
            "SELECT queue, message_id, status FROM dead_letters ORDER BY 1, 2"
        )
        return [(record["queue"], record["message_id"], record["status"]) for record in found]

    async def refusals(self) -> list[tuple[str, str, str]]:
        found = await self.owner.pool.fetch(
            "SELECT tenant_id, after ->> 'routing_key', after ->> 'user' FROM audit"
            " WHERE action = 'refuse sender' AND actor = 'orchestrator' ORDER BY audit_id"
        )
        return [tuple(record) for record in found]
