"""Sagas of tenants whose quota, usage and refunds are followed through a real database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.messages import Command
from contracts.outcomes import Outcome, Rejected
from steps import record_usage, refund_usage, reserve_quota
from steps.runtime.batch import Answers, run_batch
from steps.runtime.step import Batch, Work
from tests.kit.commands import add_drafts, lead_command, refund_command, undo
from tests.kit.tenants_at_work import TenantsAtWork

QUOTA = 100


@dataclass
class Ledger:
    """Sagas of one tenant as the three steps see them, one after the other."""

    world: TenantsAtWork

    async def wants(self, leads: int, tenant_id: str = "acme") -> Command:
        return lead_command(tenant_id, await self.world.saga(tenant_id), "reserve_quota", leads=leads)

    async def run(self, work: Work | None, *commands: Command) -> Answers:
        assert isinstance(work, Batch)
        return await run_batch(self.world.memory, work, commands, fresh=True)

    async def outcomes(self, work: Work | None, *commands: Command) -> list[Outcome]:
        found = {reply.saga_id: reply.outcome for reply in (await self.run(work, *commands)).replies}
        return [found[each.saga_id] for each in commands]

    async def reserve(self, *commands: Command) -> list[str]:
        return [outcome.kind for outcome in await self.outcomes(reserve_quota.STEP.do, *commands)]

    async def release(self, *commands: Command) -> list[str]:
        undos = [undo(each) for each in commands]
        return [outcome.kind for outcome in await self.outcomes(reserve_quota.STEP.undo, *undos)]

    async def record(self, *commands: Command) -> Answers:
        asked = [each.model_copy(update={"step": "record_usage"}) for each in commands]
        return await self.run(record_usage.STEP.do, *asked)

    async def delivered(self, leads: int, *, wanted: int | None = None, tenant_id: str = "acme") -> Command:
        """A recorded saga with `leads` leads, for which `wanted` were reserved."""
        command = await self.wants(wanted or leads, tenant_id)
        assert ["done"] == await self.reserve(command)
        await self.generated(command, leads)
        [reply] = (await self.record(command)).replies
        assert "done" == reply.outcome.kind
        return command

    async def generated(self, command: Command, leads: int) -> None:
        async with self.world.database.transaction(command.tenant_id) as connection:
            await add_drafts(connection, command.saga_id, leads)

    async def refund(self, of: Command, leads: int | None = None) -> Command:
        return refund_command(of.tenant_id, await self.world.saga(of.tenant_id, "refund"), of, leads=leads)

    async def refunded(self, *commands: Command) -> list[Outcome]:
        return await self.outcomes(refund_usage.STEP.do, *commands)

    async def quota(self, tenant_id: str = "acme") -> tuple[int, int]:
        """Used and held, of all periods."""
        query = (
            "SELECT coalesce(sum(used), 0)::int AS used, coalesce(sum(held), 0)::int AS held"
            " FROM quota_periods WHERE tenant_id = $1"
        )
        row = await self.world.admin.fetchrow(query, tenant_id)
        return row["used"], row["held"]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.world.admin.fetch(query)]


def refused(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.error for outcome in outcomes if isinstance(outcome, Rejected)]
