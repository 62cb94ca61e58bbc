"""In whatever order sagas reserve, deliver, give up and are refunded, quota, holds and ledger agree."""

import random
from collections.abc import AsyncIterator

import pytest

from contracts.messages import Command
from steps import record_usage, refund_usage, reserve_quota
from steps.runtime.batch import run_batch
from steps.runtime.step import Batch, Step
from tests.kit.commands import add_drafts, lead_command, refund_command, undo
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

DRIFT = """
WITH promised AS (
    SELECT tenant_id, period_start, sum(leads) AS held FROM holds WHERE state = 'held' GROUP BY 1, 2
), counted AS (
    SELECT l.tenant_id, h.period_start, sum(l.leads) AS used
    FROM ledger l LEFT JOIN ledger o ON o.tenant_id = l.tenant_id AND o.ledger_id = l.original_id
    JOIN holds h ON h.tenant_id = l.tenant_id AND h.saga_id = coalesce(o.saga_id, l.saga_id) GROUP BY 1, 2
)
SELECT q.*, p.held AS promised, c.used AS counted FROM quota_periods q
LEFT JOIN promised p USING (tenant_id, period_start) LEFT JOIN counted c USING (tenant_id, period_start)
WHERE (q.held, q.used) <> (coalesce(p.held, 0), coalesce(c.used, 0)) OR q.held + q.used > 100
"""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as world:
        for tenant_id in ("acme", "globex"):
            await world.tenant(tenant_id)
        await world.admin.execute("UPDATE plans SET monthly_quota = 100")
        yield world


async def any_move(
    world: TenantsAtWork, chance: random.Random, sagas: list[Command]
) -> tuple[Step, list[Command]]:
    """A step and a bundle for it, of any sagas, in any state, some of them twice."""
    some = chance.choices(sagas, k=chance.randint(1, 4))
    match chance.choice(["reserve", "release", "record", "refund"]):
        case "reserve":
            return reserve_quota.STEP, some
        case "release":
            return reserve_quota.STEP, [undo(each) for each in some]
        case "record":
            for each in some:
                async with world.database.transaction(each.tenant_id) as connection:
                    held = "SELECT true FROM holds WHERE saga_id = $1 AND state = 'held'"
                    if chance.random() < 0.5 and await connection.fetchval(held, each.saga_id):
                        await add_drafts(connection, each.saga_id, 1)
            return record_usage.STEP, [each.model_copy(update={"step": "record_usage"}) for each in some]
        case _:
            return refund_usage.STEP, [
                refund_command(
                    each.tenant_id,
                    await world.saga(each.tenant_id, "refund"),
                    each,
                    leads=chance.randint(1, 3),
                )
                for each in some
            ]


@pytest.mark.parametrize("seed", range(4))
async def test_after_every_move_used_and_held_are_what_the_rows_add_up_to(world, seed):
    chance = random.Random(seed)
    sagas = [
        lead_command(tenant, await world.saga(tenant), "reserve_quota", leads=chance.randint(1, 40))
        for tenant in ["acme", "globex"] * 5
    ]
    answered = 0
    for _ in range(40):
        step, bundle = await any_move(world, chance, sagas)
        work = step.undo if bundle[0].direction == "undo" else step.do
        assert isinstance(work, Batch)
        answers = await run_batch(world.memory, work, bundle)
        answered += len(answers.replies)
        assert [] == answers.dead
        assert [] == await world.admin.fetch(DRIFT)
    assert answered >= 40
