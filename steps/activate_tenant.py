"""The pivot: from this transaction on the tenant is known to Stripe and to us, and may ask for leads."""

from collections.abc import Sequence

from contracts.errors import StepRejected
from contracts.facts import AccountOpened, TenantActivated
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.step import Batch, Connection, Step
from steps.tenants.acting import acting
from steps.tenants.audit import record

_ACTIVATE = """
UPDATE tenants SET status = 'active', stripe_customer = $3
WHERE tenant_id = $1 AND provisioned_by = $2 AND status = 'provisioning'
RETURNING plan_id, sagas_in_flight, model_calls
"""


async def activate_tenant(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [await _activate(connection, command) for command in commands]


async def _activate(connection: Connection, command: Command) -> Outcome:
    customer = command.fact(AccountOpened).customer
    async with acting(connection, command) as asked:
        active = await connection.fetchrow(_ACTIVATE, asked.new_tenant, command.saga_id, customer)
        if active is None:
            raise StepRejected(f"there is no tenant {asked.new_tenant} to be activated", error="NoTenant")
        added = {"status": "active", "name": asked.name, "stripe_customer": customer, **dict(active)}
        await record(connection, command, "add tenant", after=added)
    fact = TenantActivated(tenant_id=asked.new_tenant, stripe_customer=customer)
    return Done(facts=fact.model_dump(mode="json"))


STEP = Step(name="activate_tenant", do=Batch(run=activate_tenant))
