"""The sandbox in place of the vendors, and tenants that it knows."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from deploy.local.children import Children
from deploy.sandbox.client import SandboxAdmin
from steps import catalogue
from steps.clients.stripe import StripeSettings, open_stripe
from tests.benchmarks.stage import Program, Stage
from tests.kit.sandbox import free_port
from tests.kit.system import METER, REPOSITORY, WEBHOOK_TOKEN

ORCHESTRATOR: Program = ("-m", "orchestrator", "run", "orchestrator")
QUEUES = tuple(queue for name in catalogue.names() for queue in catalogue.find(name).work())


def step_program(*names: str) -> Program:
    return ("-m", "steps", *names)


def all_but(name: str) -> Program:
    """One process for all other steps."""
    return step_program(*(each for each in catalogue.names() if each != name))


@dataclass(frozen=True, slots=True)
class Sandbox:
    url: str
    pid: int
    admin: SandboxAdmin


@asynccontextmanager
async def sandboxed(stage: Stage) -> AsyncIterator[Sandbox]:
    """Remembers nothing."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    place = stage.directory / f"sandbox-{port}"
    place.mkdir()
    children = Children(place, REPOSITORY, os.environ)
    try:
        children.start(
            "sandbox", ["-m", "deploy.sandbox", "--port", str(port), "--data", str(place / "data")]
        )
        await children.answers("sandbox", f"{url}/healthz")
        async with SandboxAdmin(url) as admin:
            yield Sandbox(url, children.running["sandbox"].pid, admin)
    finally:
        await children.stop()


async def introduce(sandbox: Sandbox, database_url: str, tenants: Sequence[str]) -> None:
    """Each tenant gets a customer at Stripe and a webhook at Discord."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    try:
        async with open_stripe(StripeSettings(stripe_base_url=f"{sandbox.url}/stripe")) as billing:
            await billing.ensure_meter(METER)
            for number, tenant in enumerate(tenants):
                customer = await billing.create_customer(tenant, tenant)
                webhook = str(10**17 + number)
                await sandbox.admin.register_webhook(webhook, WEBHOOK_TOKEN)
                await connection.execute(
                    "UPDATE tenants SET stripe_customer = $2 WHERE tenant_id = $1", tenant, customer
                )
                await connection.execute(
                    "INSERT INTO discord_webhooks VALUES ($1, $2)",
                    *(tenant, f"{sandbox.url}/discord/api/webhooks/{webhook}/{WEBHOOK_TOKEN}"),
                )
    finally:
        await connection.close()
