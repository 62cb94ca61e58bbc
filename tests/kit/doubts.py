"""A send of which nobody knows whether Stripe has it, and the days after it."""

from contracts.messages import Command
from steps.billing.flush import flush_tenant
from steps.clients.billing import UsageUnknown
from steps.report_to_stripe import STEP as REPORT
from tests.kit.stand_ins import FakeWorker, When
from tests.kit.tenants_at_work import TenantsAtWork

NO_ANSWER = UsageUnknown("no answer")


async def doubtful(worker: FakeWorker, world: TenantsAtWork, when: When, tenant_id: str = "acme") -> Command:
    """Four leads were reported a day ago, beside three before them, and the answer was lost."""
    await world.tenant(tenant_id)
    await world.usage(tenant_id, 3)
    await flush_tenant(worker, tenant_id)
    command = await world.usage(tenant_id, 4)
    await world.take(REPORT, command)
    worker.client.failures = [(when, NO_ANSWER)]
    await flush_tenant(worker, tenant_id)
    await a_day_passes(worker, world)
    return command


async def a_day_passes(worker: FakeWorker, world: TenantsAtWork) -> None:
    worker.client.forget()
    await world.a_day_passes()


async def on_the_next_days(worker: FakeWorker, world: TenantsAtWork, days: int) -> None:
    for _ in range(days):
        await flush_tenant(worker, "acme")
        await a_day_passes(worker, world)
    await flush_tenant(worker, "acme")


async def rows_of(world: TenantsAtWork) -> list[tuple[str, int, int]]:
    """State and value of each send, and what the rows that it carries come to."""
    found = await world.admin.fetch(
        "SELECT i.state, i.value, coalesce(sum(l.leads), 0)::int AS leads FROM intents i"
        " LEFT JOIN carriers USING (tenant_id, intent_id) LEFT JOIN ledger l USING (tenant_id, ledger_id)"
        " GROUP BY i.tenant_id, i.intent_id, i.state, i.value ORDER BY i.intent_id"
    )
    return [tuple(row) for row in found]
