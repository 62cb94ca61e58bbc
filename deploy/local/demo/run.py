"""The demo from start to end. Everything it says at the end is computed from the database and the sandbox."""

import asyncio
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from rich.console import Console

from contracts.process.settings import BrokerSettings
from deploy.local.demo import report, scenario, shop
from deploy.local.demo.upstream import Upstream, listening
from deploy.local.demo.watch import Asked, watch
from deploy.local.system import System, running
from deploy.sandbox.client import SandboxAdmin

TIME_SCALE = 0.05
PATIENCE = 75.0
SETTLE_SECONDS = 20.0


async def demo(directory: Path, console: Console) -> int:
    console.print("[bold]Setting up[/]: services, schema, sandbox, orchestrator, one process for each step")
    async with running(
        directory, durable=False, time_scale=TIME_SCALE, throw_away=True, say=console.print
    ) as system:
        for line in system.urls()[:5]:
            console.print(f"  {line}", highlight=False, markup=False)
        async with SandboxAdmin(system.sandbox) as admin:
            return await _show(system, admin, console)


async def _show(system: System, admin: SandboxAdmin, console: Console) -> int:
    await scenario.register_webhooks(admin)
    customers = await shop.set_up(system.children, system.sandbox, (*scenario.TENANTS, scenario.ORPHAN))
    timeout = float(system.environment.get("LEADSAGA_MODEL_CALL_TIMEOUT", "30"))
    await scenario.order_faults(admin, model_timeout=timeout)
    asked: list[Asked] = [*scenario.lead_requests()]
    database = await asyncpg.connect(
        system.environment["LEADSAGA_OPERATOR_URL"], server_settings={"search_path": "leadsaga"}
    )
    settings = BrokerSettings(
        amqp_url=SecretStr(system.services.amqp_url),
        queue_prefix=system.environment["LEADSAGA_QUEUE_PREFIX"],
    )
    try:
        async with listening(settings) as upstream:
            console.print(f"\n[bold]Publishing[/] {len(asked)} lead requests over AMQP, then one refund\n")
            await upstream.publish(asked)
            refund = asyncio.create_task(_refund_when_delivered(upstream))
            asked.append(scenario.REFUND)
            await watch(console, database, upstream, asked, PATIENCE)
            await refund
            await report.settled(database, SETTLE_SECONDS)
            scene = report.Scene(
                console=console,
                database=database,
                admin=admin,
                upstream=upstream,
                asked=asked,
                customers=customers,
                environment=system.environment,
            )
            return await scene.show()
    finally:
        await database.close()


async def _refund_when_delivered(upstream: Upstream) -> None:
    """A refund is asked for by a customer who has looked at the leads."""
    wanted = scenario.REFUND
    while not any(
        event.event == "completed" and event.request_id == wanted.request_id
        for event in upstream.heard.values()
    ):
        await asyncio.sleep(0.05)
    await upstream.publish([wanted])
