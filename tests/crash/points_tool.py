"""The operators' tool dies at each of its crash points. Each command is a process, and is given again."""

import asyncio
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from tests.kit.asking import delivered, lead_request
from tests.kit.system import RunningSystem
from tests.kit.zygote import ForkedChildren

SECONDS = 40.0
REASON = ("--reason", "a test")
ENDS_WELL = {0, 1}
"""Done, or refused because it was done before."""

COMMANDS: dict[str, Sequence[str]] = {
    "operate.add_plan": ("plans", "add", "{new}", "--price", "0.40", "--currency", "eur", "--quota", "10"),
    "operate.add_tenant": ("tenants", "add", "{new}", "--name", "New", "--plan", "{tenant}"),
    "operate.change_tenant": ("tenants", "set", "{tenant}", "--name", "{new}", *REASON),
    "operate.close_letter": ("dead-letters", "close", "{letter}", *REASON),
    "operate.dead_letters": ("dead-letters", "list"),
    "operate.exact_bytes": ("dead-letters", "show", "{letter}", "--raw"),
    "operate.foresee_letter": ("dead-letters", "replay", "{letter}", "--dry-run"),
    "operate.foresee_saga": ("replay", "{parked}", "--dry-run"),
    "operate.inspect": ("show", "{delivered}"),
    "operate.leads": ("leads", "{delivered}", "--tenant", "{tenant}"),
    "operate.open_letter": ("dead-letters", "show", "{letter}"),
    "operate.order": ("replay", "{parked}", *REASON),
    "operate.order_result": ("replay", "{parked}", *REASON),
    "operate.plans": ("plans", "list"),
    "operate.replay_letter": ("dead-letters", "replay", "{letter}", *REASON),
    "operate.sagas": ("list",),
    "operate.set_status": ("tenants", "suspend", "{tenant}", *REASON),
    "operate.tenants": ("tenants", "list"),
    "operate.usage": ("usage",),
    "operate.usage_tenants": ("usage",),
    "publish.requests": (
        *("request", "--tenant", "{tenant}", "--request-id", "{new}"),
        *("--leads", "2", "--criteria", "bakeries in Porto"),
    ),
    "store.history": ("show", "{delivered}"),
}
"""A command that comes by the points of an operation. Names in braces are made for each point."""

WRITTEN = {
    *("operate.add_plan", "operate.add_tenant", "operate.change_tenant", "operate.close_letter"),
    *("operate.exact_bytes", "operate.leads", "operate.order", "operate.replay_letter", "operate.set_status"),
}
"""Operations with a row in the audit, which says that it happened exactly if it did."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator sits."""

    system: RunningSystem

    async def dies_at(self, point: str) -> None:
        """Raises AssertionError unless the command dies there, and its operator can run it again."""
        operation, _, moment = point.partition(":")
        names = await self._names()
        command = [part.format(**names) for part in COMMANDS[operation]]
        died = await self._run(command, {"LEADSAGA_CRASH_AT": point, "LEADSAGA_ACTOR": point})
        assert -signal.SIGKILL == died, f"the tool never came by {point}: it ended with {died}"
        wanted = int(moment == "committed") if operation in WRITTEN else None
        if wanted is not None:
            audited = await self.system.sql.fetchval("SELECT count(*) FROM audit WHERE actor = $1", point)
            assert wanted == audited, f"{point}: {audited} rows in the audit"
        again = await self._run(command, {"LEADSAGA_ACTOR": f"{point}, again"})
        assert again in ENDS_WELL, f"{point}: run again it ended with {again}"

    async def _names(self) -> dict[str, str]:
        """A tenant, a delivered and a parked request, an open dead letter, and a name that nothing has."""
        tenant, orphan = await asyncio.gather(self.system.tenant(), self.system.tenant(known_to_stripe=False))
        wanted, lost = lead_request(tenant), lead_request(orphan)
        await asyncio.gather(delivered(self.system, wanted), self.system.upstream.ask(lost))
        await self.system.upstream.outcome(lost, "parked")
        mark = secrets.token_hex(8).encode()
        await self.system.upstream.send_raw(b"nonsense " + mark, "nobody.lead_requested")
        letter = await self.system.until_buried(mark)
        return {
            "new": f"n-{secrets.token_hex(4)}",
            "tenant": tenant.tenant_id,
            "delivered": wanted.request_id,
            "parked": lost.request_id,
            "letter": str(letter["dead_letter_id"]),
        }

    async def _run(self, command: Sequence[str], extra: dict[str, str]) -> int:
        children = cast(ForkedChildren, self.system.children)
        assert children.zygote is not None
        forked: Any = children.zygote.start(
            ["-m", "orchestrator", *command],
            {**children.environment, **extra},
            children.logs / "tool.console.log",
        )
        return int(await forked.result(SECONDS))
