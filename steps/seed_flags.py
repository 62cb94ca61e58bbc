"""Sets the feature flags that a tenant begins with. What they switch is up to the services that read them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from contracts.facts import FlagsSeeded
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from steps.runtime.step import Batch, Connection, Step
from steps.tenants.acting import acting

FIRST: Mapping[str, bool] = MappingProxyType(
    {"lead_requests": True, "discord_notices": True, "refunds_by_upstream": False}
)
"""Of every tenant, unless its request says otherwise."""

_SEED = """
INSERT INTO feature_flags (tenant_id, flag, enabled)
SELECT $1, flag, enabled FROM unnest($2::text[], $3::bool[]) AS wanted (flag, enabled)
ON CONFLICT (tenant_id, flag) DO UPDATE SET enabled = excluded.enabled, set_at = now()
"""

_CLEAR = """
DELETE FROM feature_flags f USING tenants t
WHERE f.tenant_id = $1 AND t.tenant_id = $1 AND t.provisioned_by = $2 AND t.status = 'provisioning'
"""


async def seed_flags(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    return [await _seed(connection, command) for command in commands]


async def _seed(connection: Connection, command: Command) -> Outcome:
    async with acting(connection, command) as asked:
        flags = {**FIRST, **asked.flags}
        await connection.execute(_SEED, asked.new_tenant, list(flags), list(flags.values()))
    return Done(facts=FlagsSeeded(flags=flags).model_dump(mode="json"))


async def clear_flags(connection: Connection, commands: Sequence[Command]) -> list[Outcome]:
    """Only of a tenant that this saga is adding."""
    for command in commands:
        async with acting(connection, command) as asked:
            await connection.execute(_CLEAR, asked.new_tenant, command.saga_id)
    return [Done() for _ in commands]


STEP = Step(
    name="seed_flags",
    do=Batch(run=seed_flags),
    undo_name="clear_flags",
    undo=Batch(run=clear_flags),
)
