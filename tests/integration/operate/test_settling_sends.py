"""What is billed by hand is not reported by the flush as well, whoever replays what."""

from typing import Any
from uuid import UUID

import pytest

from contracts.process.postgres import Database
from orchestrator.operate import settle
from orchestrator.operate.errors import Refused
from orchestrator.operate.orders import Ordered, order
from steps.billing import intents
from tests.integration.operate.conftest import Audit
from tests.integration.operate.test_orders import status
from tests.kit.store_postgres import PostgresWorld
from tests.kit.store_world import begin, done, incoming, rejected, saga_id, start, tell

SEND = UUID(int=7)
KEY = ("acme", saga_id(1))
UNPLANNED = "is still to be reported to Stripe"
TOGETHER = "together with that of others"

_LEDGER = """
INSERT INTO ledger (tenant_id, ledger_id, saga_id, request_id, kind, leads, unit_price, currency, event_name,
                    period_start)
VALUES ('acme', $1::uuid, $1::uuid, $1::uuid::text, 'usage', 2, 0.4, 'eur', 'leads_delivered', '2026-11-01Z')
"""
_SEND = """
INSERT INTO intents (tenant_id, intent_id, identifier, customer, event_name, event_at, period_start, value)
VALUES ('acme', $1, 'acme-1', 'cus_1', 'leads_delivered', now(), '2026-11-01Z', 4)
"""


async def parked(world: PostgresWorld, sagas: int) -> None:
    """Sagas whose usage Stripe refused."""
    keys = await begin(world, *(incoming(1 + number) for number in range(sagas)))
    steps = [done(name) for name in ("reserve_quota", "generate_leads", "record_usage")]
    await tell(world, keys, start(), *steps, rejected("report_to_stripe"))
    for _, saga in keys:
        await world.owner.pool.execute(_LEDGER, saga)
    assert "parked" == await status(world, KEY)


async def carried(world: PostgresWorld, state: str, error: str | None = None, *, asked: bool = False) -> None:
    """All that is in the ledger goes to Stripe as one, and that stands so."""
    run = world.owner.pool.execute
    await run(_SEND + " ON CONFLICT DO NOTHING", SEND)
    await run("INSERT INTO carriers SELECT 'acme', ledger_id, $1 FROM ledger ON CONFLICT DO NOTHING", SEND)
    set_to = "UPDATE intents SET state = $1, error = $2, retry_at = CASE WHEN $3 THEN now() END"
    await run(set_to, state, error, asked)


async def billed_by_hand(operators: Database) -> Ordered:
    return await order(
        operators, str(KEY[1]), "resolve", actor="ann", reason="invoice 7", verdict="done", wait=0
    )


async def test_what_the_flush_may_still_report_is_not_settled_as_done(
    world: PostgresWorld, operators: Database, audit: Audit
) -> None:
    await parked(world, 2)

    async def refused(why: str) -> None:
        with pytest.raises(Refused, match=why):
            await billed_by_hand(operators)

    await refused(UNPLANNED)
    for state in ("pending", "sending", "ambiguous"):
        await carried(world, state)
        await refused(UNPLANNED)
    await carried(world, "rejected", "no such customer", asked=True)
    await refused(UNPLANNED)
    await carried(world, "rejected", "no such customer")
    await refused(TOGETHER)
    effects: Any = await world.owner.pool.fetch("SELECT * FROM effects")
    assert ([], [], []) == (effects, await audit(), await world.store.open_orders(limit=5))


@pytest.mark.parametrize(
    ("sagas", "state", "error"),
    [
        (1, "rejected", "no such customer"),
        (2, "rejected", intents.CLOSED),
        (2, "confirmed", None),
    ],
)
async def test_what_it_will_not_report_any_more_is_settled_as_done(
    world: PostgresWorld, operators: Database, sagas: int, state: str, error: str | None
) -> None:
    await parked(world, sagas)
    await carried(world, state, error)
    assert "done" == (await billed_by_hand(operators)).verdict


def test_both_sides_mean_the_same_closed_period() -> None:
    assert intents.CLOSED == settle.CLOSED
