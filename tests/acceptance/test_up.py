"""`make up` on a data directory, killed at any moment, broker and database too, and started again."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from contracts.ids import ADMINISTRATION
from contracts.process.settings import BrokerSettings
from contracts.requests import LeadRequested
from deploy.local.demo.scenario import TENANTS
from deploy.local.demo.upstream import Upstream, listening
from deploy.sandbox.client import SandboxAdmin
from tests.kit.local import processes_of, program, reachable_directory
from tests.kit.sandbox import until

pytestmark = pytest.mark.timeout(240)

REQUESTS = [
    LeadRequested(tenant_id=tenant, request_id=f"kill-{number}", criteria="Bakeries in Porto", leads=7)
    for number in range(12)
    for tenant in ("acme", "nordwind")
]
READY = "In another terminal"
IN_THE_MIDDLE = 6


def environment(home: Path) -> dict[str, str]:
    lines = (home / "environment").read_text(encoding="utf-8").splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: value.strip("'") for name, value in pairs}


def upstream_of(home: Path) -> BrokerSettings:
    return BrokerSettings(amqp_url=SecretStr(environment(home)["LEADSAGA_AMQP_URL"]))


async def ended(home: Path) -> int:
    database = await asyncpg.connect(environment(home)["LEADSAGA_OPERATOR_URL"])
    try:
        return int(
            await database.fetchval(
                "SELECT count(*) FROM leadsaga.sagas WHERE status IN ('completed', 'rolled_back')"
            )
        )
    finally:
        await database.close()


async def tenants(home: Path) -> list[str]:
    database = await asyncpg.connect(environment(home)["LEADSAGA_OPERATOR_URL"])
    try:
        rows = await database.fetch("SELECT tenant_id FROM leadsaga.tenants ORDER BY tenant_id")
    finally:
        await database.close()
    return [row["tenant_id"] for row in rows]


async def ledger_and_stripe(home: Path) -> tuple[int, int]:
    database = await asyncpg.connect(environment(home)["LEADSAGA_DATABASE_URL"])
    try:
        net = await database.fetchval("SELECT coalesce(sum(leads), 0)::int FROM leadsaga.ledger")
    finally:
        await database.close()
    sandbox = environment(home)["LEADSAGA_DISCORD_BASE_URL"].removesuffix("/discord")
    async with SandboxAdmin(sandbox) as admin:
        return int(net), sum(int(row["total"]) for row in await admin.usage())


async def test_killed_at_any_moment_it_starts_again_on_the_same_directory_and_everything_finishes() -> None:
    async with reachable_directory() as directory:
        home = directory / "home"
        up = {"LEADSAGA_HOME": str(home), "LEADSAGA_TIME_SCALE": "0.05"}
        async with program(directory, "up", **up) as first:
            # The plans are there, tenants are being added.
            await until(_exists(home / "logs" / "tenant-nordwind.console.log"), 120)
            first.process.kill()
            await first.process.wait()
        await until(lambda: _all_dead(directory))
        async with program(directory, "down", **up) as down:
            await down.says("nothing is running here")
            assert await down.ends() == 0
        async with program(directory, "up", **up) as second:
            await second.says(READY)
            assert await tenants(home) == sorted((ADMINISTRATION, *(tenant.tenant_id for tenant in TENANTS)))
            await _in_the_middle(home)
            # And with it, by SIGKILL, all that it started: servers, sandbox, orchestrator, steps.
            second.process.kill()
            await second.process.wait()
        await until(lambda: _all_dead(directory))
        async with program(directory, "up", **up) as third:
            await third.says(READY)
            await until(lambda: _ended(home, len(REQUESTS)), 120)
            net, told = await ledger_and_stripe(home)
            assert told == net
            assert net == sum(request.leads for request in REQUESTS)
            async with program(directory, "down", **up) as down:
                await down.says("stopped")
            assert await third.ends() == 130
        assert processes_of(directory) == []


async def _in_the_middle(home: Path) -> None:
    """Returns when some requests have ended, and others have not."""
    sandbox = environment(home)["LEADSAGA_DISCORD_BASE_URL"].removesuffix("/discord")
    async with SandboxAdmin(sandbox) as admin:
        await admin.settings(anthropic_latency_seconds=0.3)
    async with listening(upstream_of(home)) as upstream:
        await upstream.publish(REQUESTS)
        await until(lambda: _delivered(upstream, IN_THE_MIDDLE), 60)


def _exists(file: Path) -> Callable[[], Awaitable[bool]]:
    async def exists() -> bool:
        return file.exists()

    return exists


async def _delivered(upstream: Upstream, requests: int) -> bool:
    return sum(event.event == "leads_ready" for event in upstream.heard.values()) >= requests


async def _all_dead(directory: Path) -> bool:
    return not processes_of(directory)


async def _ended(home: Path, requests: int) -> bool:
    return await ended(home) == requests
