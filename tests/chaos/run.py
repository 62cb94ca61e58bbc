"""One run: load and havoc side by side, then quiet, then the checker."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

from deploy.sandbox.client import SandboxAdmin
from tests.chaos.faults import CALL_SECONDS, order_faults
from tests.chaos.havoc import Havoc, Recovery, blows
from tests.chaos.load import Load, orders
from tests.chaos.settle import settled
from tests.chaos.tenants import drawn, settle_in
from tests.chaos.upstream import upstream
from tests.chaos.world import OURS, SANDBOX, world
from tests.kit.history.check import check
from tests.kit.history.read import read_history
from tests.kit.history.records import History
from tests.kit.history.violation import Violation

TIME_SCALE = 0.2
PROGRESS_SECONDS = 10.0

SETTINGS = {
    "LEADSAGA_TIME_SCALE": f"{TIME_SCALE:g}",
    "LEADSAGA_TICK_SECONDS": "2.5",
    "LEADSAGA_FLUSH_INTERVAL": "50",
    "LEADSAGA_NOTICE_INTERVAL": "4",
    "LEADSAGA_LOG_LEVEL": "warning",
    "LEADSAGA_GROUPS": "1",
    "LEADSAGA_MODEL_CALL_TIMEOUT": f"{CALL_SECONDS:g}",
    "LEADSAGA_STRIPE_CALL_TIMEOUT": f"{CALL_SECONDS:g}",
    "LEADSAGA_DISCORD_CALL_TIMEOUT": f"{CALL_SECONDS:g}",
    "LEADSAGA_MAX_IN_FLIGHT": "2000",
    "LEADSAGA_SIDE_BY_SIDE": "24",
    "LEADSAGA_MODEL_CALLS": "24",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is. The seed decides load, faults and blows; how they interleave it does not."""

    seed: int
    load_seconds: float
    settle_seconds: float = 180.0
    blow_every: float = 5.0
    tenants: int = 40
    window: int = 400
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What `leadsaga reconcile` says when all is quiet."""

    clean: bool
    pages: int = 0
    differences: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: str) -> "Reconciled":
        found = json.loads(said)
        pages = found.get("pages", [])
        differ = [
            f"{each['tenant_id']}: {each['kind']} {each['reason']}" for each in found.get("findings", [])
        ]
        differ += [
            f"{each['tenant_id']}: {each['unread'] or 'Stripe is behind'}"
            for each in pages
            if each["unread"] or each["behind"]
        ]
        differ += found["error"]["faults"] if "error" in found else []
        return cls(clean=not differ, pages=len(pages), differences=tuple(differ))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    history: History
    violations: list[Violation]
    recoveries: list[Recovery]
    deaths: list[str]
    unsettled: dict[str, int]
    """What was still under way when the patience was over."""
    unanswered: int
    seconds: float
    settled_after: float
    repeated_events: int
    reconciled: Reconciled

    @property
    def kept(self) -> bool:
        recovered = all(one.ready is not None for one in self.recoveries)
        quiet = recovered and not (self.violations or self.unsettled or self.unanswered)
        return quiet and self.reconciled.clean


async def chaos(plan: Plan, directory: Path, say: Callable[[str], None]) -> Result:
    """Leaves nothing behind but the directory."""
    draws = [Random(f"{plan.seed} {name}") for name in ("tenants", "load", "blows")]
    tenants = drawn(plan.tenants, draws[0])
    load = Load(orders(tenants, draws[1]), plan.window)
    async with world(directory, SETTINGS, durable=plan.durable, say=say) as here:
        await settle_in(tenants, here.database_url, here.sandbox_url)
        async with (
            SandboxAdmin(here.sandbox_url) as admin,
            upstream(lambda: here.amqp_url, here.names, load.hears) as ears,
        ):
            await order_faults(admin, plan.seed)
            havoc = Havoc(here, lambda: load.answered, say)
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                progress = group.create_task(_progress(load, havoc, say))
                killing = group.create_task(
                    havoc.run(blows(plan.blow_every, draws[2]), began + plan.load_seconds)
                )
                await load.run(ears, began + plan.load_seconds)
                await killing
                ended = time.monotonic()
                await admin.clear_faults()
                await here.ready(*OURS, SANDBOX)
                until = ended + plan.settle_seconds
                await load.drain(ears, until)
                unsettled = await settled(here.database_url, ears, until)
                progress.cancel()
            say("checking")
            reconciled = await here.tool("reconcile", "--json")
            # Nothing may move between the reading of our record and that of the vendors.
            await asyncio.gather(*(here.end(name, "stop") for name in OURS))
            history = await read_history(
                here.database_url,
                directory / "sandbox",
                time_scale=TIME_SCALE,
                heard=list(ears.heard.values()),
                asked=list(load.asked),
            )
            return Result(
                history=history,
                violations=check(history),
                recoveries=havoc.recoveries,
                deaths=havoc.deaths,
                unsettled=unsettled,
                unanswered=len(load.open),
                seconds=ended - began,
                settled_after=time.monotonic() - ended,
                repeated_events=ears.deliveries - len(ears.heard),
                reconciled=Reconciled.of(reconciled),
            )


async def _progress(load: Load, havoc: Havoc, say: Callable[[str], None]) -> None:
    before = 0
    for round_ in count(1):
        await asyncio.sleep(PROGRESS_SECONDS)
        rate, before = (load.answered - before) / PROGRESS_SECONDS, load.answered
        say(
            f"{round_ * PROGRESS_SECONDS:5.0f} s  {load.answered:6} answers ({rate:.0f}/s), "
            f"{len(load.open)} orders open, {len(havoc.recoveries)} blows survived"
        )
