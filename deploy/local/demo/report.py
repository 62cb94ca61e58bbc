"""What came of it: shown with the operators' tool, and computed from the database and the sandbox."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.demo import scenario
from deploy.local.demo.upstream import Upstream
from deploy.local.demo.watch import Asked
from deploy.sandbox.client import SandboxAdmin

Database = Any

LEDGER = """
SELECT coalesce(sum(leads) FILTER (WHERE kind = 'usage'), 0)::int AS used,
       coalesce(-sum(leads) FILTER (WHERE kind = 'reversal'), 0)::int AS given_back,
       coalesce(sum(leads), 0)::int AS net
FROM ledger
"""

OPEN_USAGE = """
SELECT count(*)::int FROM ledger l
LEFT JOIN carriers c USING (tenant_id, ledger_id) LEFT JOIN intents i USING (tenant_id, intent_id)
WHERE i.state IS DISTINCT FROM 'confirmed' AND i.state IS DISTINCT FROM 'rejected'
"""

REJECTED = "SELECT count(*)::int FROM intents WHERE state = 'rejected'"

NOTICES = "SELECT state, count(*)::int AS notices FROM notices GROUP BY state ORDER BY state"

SAGA_OF = "SELECT saga_id::text FROM sagas WHERE tenant_id = $1 AND saga = $2 AND request_id = $3"


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's leads: as the ledger counts them, as Stripe was told, as upstream received them."""

    used: int
    given_back: int
    net: int
    stripe: int
    delivered: int
    rejected: int

    @property
    def right(self) -> bool:
        return not self.rejected and self.net == self.stripe == self.delivered


async def _of_tenant(database: Database, tenant_id: str, query: str) -> list[Any]:
    async with database.transaction():
        await database.execute("SELECT set_config('leadsaga.tenant_id', $1, true)", tenant_id)
        return list(await database.fetch(query))


async def settled(database: Database, seconds: float) -> None:
    """Returns when every usage has reached Stripe, or was refused there."""
    async with asyncio.timeout(seconds):
        for tenant in (*scenario.TENANTS, scenario.ORPHAN):
            while (await _of_tenant(database, tenant.tenant_id, OPEN_USAGE))[0][0]:
                await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    console: Console
    database: Database
    admin: SandboxAdmin
    upstream: Upstream
    asked: Sequence[Asked]
    customers: dict[str, str]
    environment: dict[str, str]

    async def show(self) -> int:
        """Returns the exit code: 0 if nothing was lost, every tenant was billed what was delivered, and
        all books agree."""
        await self._say("leads", "acme-001", "--tenant", "acme")
        for title, tenant_id, saga, request_id in (
            ("A happy saga", "acme", "lead", "acme-002"),
            ("A rolled-back saga: the model never answered", "acme", "lead", "acme-004"),
            ("A refund saga", "acme", "refund", scenario.REFUND.refund_id),
        ):
            self.console.print(f"\n[bold]{title}[/]")
            saga_id = await self.database.fetchval(SAGA_OF, tenant_id, saga, request_id)
            await self._say("show", str(saga_id), "--tenant", tenant_id)
        found = await self._accounts()
        self.console.print(_ledger_table(found))
        await self._notices()
        differs = await self._say("reconcile")
        return self._last_line(found) or differs

    async def _say(self, *arguments: str) -> int:
        """Runs the operators' tool, as a person would, and shows what it says. Returns its exit code."""
        self.console.print(f"\n[dim]$ leadsaga {' '.join(arguments)}[/]")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", *arguments),
            env={**os.environ, **self.environment, "COLUMNS": str(min(self.console.width, 150))},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        self.console.print(output.decode(), markup=False, end="")
        return process.returncode or 0

    async def _accounts(self) -> dict[str, Account]:
        told = Counter({row["customer"]: int(row["total"]) for row in await self.admin.usage()})
        delivered = self.upstream.delivered()
        found = {}
        for tenant_id, customer in self.customers.items():
            [row] = await _of_tenant(self.database, tenant_id, LEDGER)
            [[rejected]] = await _of_tenant(self.database, tenant_id, REJECTED)
            found[tenant_id] = Account(
                used=row["used"],
                given_back=row["given_back"],
                net=row["net"],
                stripe=told[customer],
                delivered=delivered[tenant_id],
                rejected=rejected,
            )
        return found

    async def _notices(self) -> None:
        states: Counter[str] = Counter()
        for tenant_id in self.customers:
            for row in await _of_tenant(self.database, tenant_id, NOTICES):
                states[row["state"]] += row["notices"]
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        self.console.print(f"Discord notices: {told} (one tenant's Discord is down; no saga waited for it)")

    def _last_line(self, found: dict[str, Account]) -> int:
        outcomes = Counter(
            event.event if (event := self.upstream.outcome(request)) else "lost" for request in self.asked
        )
        completed = outcomes["completed"] + outcomes["refunded"]
        self.console.print(
            f"\ndemo: {len(self.asked)} requests: {completed} completed, {outcomes['failed']} rolled back, "
            f"{outcomes['parked']} parked, {outcomes['refused']} refused, {outcomes['lost']} lost; "
            f"billed = delivered for {billed_right(found)} of {len(scenario.TENANTS)} tenants",
            soft_wrap=True,
        )
        return verdict(outcomes["lost"], found)


def billed_right(found: Mapping[str, Account]) -> int:
    """How many of the tenants that Stripe knows were billed what was delivered."""
    return sum(found[tenant.tenant_id].right for tenant in scenario.TENANTS)


def verdict(lost: int, found: Mapping[str, Account]) -> int:
    """The exit code: 0 if no request was lost, every tenant that Stripe knows was billed what was delivered,
    and the one that it does not know was charged nothing."""
    orphan = found[scenario.ORPHAN.tenant_id]
    kept_apart = orphan.rejected > 0 and orphan.stripe == 0
    return 0 if lost == 0 and billed_right(found) == len(scenario.TENANTS) and kept_apart else 1


def _ledger_table(found: dict[str, Account]) -> Table:
    table = Table(title="\nLedger against what Stripe was told (leads)", title_justify="left")
    table.add_column("tenant")
    for column in ("delivered", "recorded", "given back", "ledger net", "Stripe was told"):
        table.add_column(column, justify="right")
    table.add_column("")
    for tenant_id, account in found.items():
        answer = "[green]billed = delivered[/]" if account.right else "[red]differs[/]"
        if account.rejected:
            answer = "[red]parked: Stripe does not know the tenant; nothing was charged[/]"
        numbers = (
            account.delivered + account.given_back,
            account.used,
            account.given_back,
            account.net,
            account.stripe,
        )
        table.add_row(tenant_id, *map(str, numbers), answer)
    return table
