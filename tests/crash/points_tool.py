"""The operators' tool dies at each of its crash points. Each command is a process, and is given again."""

import asyncio
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from contracts.process.sealing import key_id
from tests.kit.asking import delivered, lead_request
from tests.kit.system import RunningSystem
from tests.kit.webhooks import SECOND_KEY
from tests.kit.zygote import ForkedChildren

SECONDS = 40.0
REASON = ("--reason", "a test")
OLD_KEY = "INSERT INTO secret_keys (key_id) VALUES ($1) ON CONFLICT DO NOTHING"
"""That nothing is sealed with any more."""
ENDS_WELL = {0, 1}
"""Done, or refused because it was done before."""

ADD = ("tenants", "add", "{new}", "--name", "New", "--plan", "{tenant}")

RECONCILE = ("reconcile", "--tenant", "{tenant}")

COMMANDS: dict[str, Sequence[str]] = {
    "operate.add_plan": ("plans", "add", "{new}", "--price", "0.40", "--currency", "eur", "--quota", "10"),
    "operate.add_tenant": (*ADD, "--without-account"),
    "operate.added_tenant": ADD,
    "operate.ask_reconcile": RECONCILE,
    "operate.audit_rows": ("audit", "list"),
    "operate.change_tenant": ("tenants", "set", "{tenant}", "--name", "{new}", *REASON),
    "operate.close_letter": ("dead-letters", "close", "{letter}", *REASON),
    "operate.dead_letters": ("dead-letters", "list"),
    "operate.exact_bytes": ("dead-letters", "show", "{letter}", "--raw"),
    "operate.foresee_letter": ("dead-letters", "replay", "{letter}", "--dry-run"),
    "operate.foresee_refund": ("refund", "{delivered}", "--tenant", "{tenant}", "--dry-run"),
    "operate.foresee_saga": ("replay", "{parked}", "--dry-run"),
    "operate.inspect": ("show", "{delivered}"),
    "operate.leads": ("leads", "{delivered}", "--tenant", "{tenant}"),
    "operate.margin": ("margin",),
    "operate.margin_tenants": ("margin",),
    "operate.open_letter": ("dead-letters", "show", "{letter}"),
    "operate.order": ("replay", "{parked}", *REASON),
    "operate.order_result": ("replay", "{parked}", *REASON),
    "operate.plans": ("plans", "list"),
    "operate.rates": ("rates", "list"),
    "operate.reconcile_failed": RECONCILE,
    "operate.reconcile_waits": RECONCILE,
    "operate.reconciled": RECONCILE,
    "operate.refund": ("refund", "{delivered}", "--tenant", "{tenant}", "--evidence", "ticket 7", *REASON),
    "operate.replay_letter": ("dead-letters", "replay", "{letter}", *REASON),
    "operate.reseal": ("secrets", "rotate", *REASON),
    "operate.retire_key": ("secrets", "rotate", *REASON),
    "operate.rotation_begins": ("secrets", "rotate", *REASON),
    "operate.sagas": ("list",),
    "operate.seal_webhook": (*ADD, "--discord-webhook-file", "{webhook}"),
    "operate.set_rate": ("rates", "set", "eur", "1.08", *REASON),
    "operate.set_terms": ("plans", "set", "{tenant}", "--quota", "900000", *REASON),
    "operate.set_status": ("tenants", "suspend", "{tenant}", *REASON),
    "operate.tenants": ("tenants", "list"),
    "operate.usage": ("usage",),
    "operate.usage_tenants": ("usage",),
    "operate.verify": ("audit", "verify"),
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
    "operate.refund",
    *("operate.set_rate", "operate.set_terms"),
}
"""Operations with a row in the audit, which says that it happened exactly if it did."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator sits."""

    system: RunningSystem
    rotating: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of two rotations at once, one finds no key to retire."""

    async def dies_at(self, point: str) -> None:
        """Raises AssertionError unless the command dies there, and its operator can run it again."""
        names = await self._names()
        command = [part.format(**names) for part in COMMANDS[point.partition(":")[0]]]
        if command[0] != "secrets":
            await self._dies_at(point, command)
            return
        async with self.rotating:
            await self.system.sql.execute(OLD_KEY, key_id(bytes.fromhex(SECOND_KEY)))
            await self._dies_at(point, command)

    async def _dies_at(self, point: str, command: Sequence[str]) -> None:
        operation, _, moment = point.partition(":")
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
        children = cast(ForkedChildren, self.system.children)
        webhook = children.logs / f"webhook-{mark.decode()}"
        webhook.write_text(f"{self.system.sandbox_url}/discord/api/webhooks/1/x", encoding="utf-8")
        return {
            "new": f"n-{secrets.token_hex(4)}",
            "tenant": tenant.tenant_id,
            "delivered": wanted.request_id,
            "parked": lost.request_id,
            "letter": str(letter["dead_letter_id"]),
            "webhook": str(webhook),
        }

    async def _run(self, command: Sequence[str], extra: dict[str, str]) -> int:
        children = cast(ForkedChildren, self.system.children)
        assert children.zygote is not None
        forked: Any = children.zygote.start(
            ["-m", "orchestrator", *command],
            {**children.environment, **extra},
            children.logs / "tool.console.log",
        )
        try:
            return int(await forked.result(SECONDS))
        except TimeoutError:
            raise AssertionError(f"{extra}: `leadsaga {' '.join(command)}` did not end") from None
