"""What waits is in the database and the broker, not in a process: a small part of `make bench-memory`."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from contracts.names import Names
from contracts.requests import LeadRequested
from deploy.local.children import Children
from tests.benchmarks.rss import resident_mb
from tests.kit.outsider import Outsider, speaking
from tests.kit.sandbox import REPOSITORY, free_port, until
from tests.kit.system import environment_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

WARM_UP = 1_000
REQUESTS = 5_000
NONSENSE = 1_000
AT_A_TIME = 500
MOST_MB = 20.0
PATIENCE = 90.0
NOWHERE = "http://127.0.0.1:9"

TENANT = """
INSERT INTO plans (plan_id, price_per_lead, currency, monthly_quota) VALUES ('basic', 1, 'eur', 100);
INSERT INTO tenants (tenant_id, name, plan_id) VALUES ('acme', 'Acme', 'basic');
"""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Alone: no step answers, so what it begins stays in flight and all else waits."""

    pid: int
    upstream: Outsider
    sql: asyncpg.Connection

    async def accepts(self, first: int, last: int) -> None:
        for begin in range(first, last, AT_A_TIME):
            await asyncio.gather(
                *(self.upstream.ask(request(number)) for number in range(begin, begin + AT_A_TIME))
            )
        await self.until_counted("requests", last)

    async def until_counted(self, table: str, rows: int) -> None:
        async def counted() -> bool:
            return rows == await self.sql.fetchval(f"SELECT count(*) FROM leadsaga.{table}")

        await until(counted, PATIENCE)


def request(number: int) -> LeadRequested:
    return LeadRequested(
        tenant_id="acme", request_id=f"r-{number}", criteria=f"bicycle makers {number}", leads=3
    )


@pytest.fixture
async def orchestrator(
    database_url: str, amqp_url: str, queue_prefix: str, tmp_path: Path
) -> AsyncIterator[Orchestrator]:
    environment = environment_of(database_url, amqp_url, queue_prefix, NOWHERE)
    children = Children(tmp_path, REPOSITORY, environment | {"LEADSAGA_MAX_IN_FLIGHT": "10"})
    sql = await asyncpg.connect(database_url, server_settings={"search_path": "leadsaga"})
    await sql.execute(TENANT)
    port = free_port()
    children.start("orchestrator", ["-m", "orchestrator", "run", "orchestrator"], port)
    try:
        async with speaking(amqp_url, Names(queue_prefix)) as upstream:
            await children.answers("orchestrator", f"http://127.0.0.1:{port}/ready")
            yield Orchestrator(children.running["orchestrator"].pid, upstream, sql)
    finally:
        await children.stop()
        await sql.close()


async def test_requests_that_wait_and_messages_that_nobody_understands_take_no_memory(
    orchestrator: Orchestrator,
) -> None:
    await orchestrator.accepts(0, WARM_UP)
    warm = resident_mb(orchestrator.pid)

    await orchestrator.accepts(WARM_UP, REQUESTS)
    waiting = resident_mb(orchestrator.pid)
    nonsense = [json.dumps({"v": 1, "number": number}).encode() for number in range(NONSENSE)]
    await asyncio.gather(*(orchestrator.upstream.send_raw(body, "acme.lead_requested") for body in nonsense))
    await orchestrator.until_counted("dead_letters", NONSENSE)
    flooded = resident_mb(orchestrator.pid)

    assert REQUESTS - 10 == await orchestrator.sql.fetchval(
        "SELECT count(*) FROM sagas WHERE status = 'waiting'"
    )
    assert waiting - warm < MOST_MB, f"{warm:.0f} MB became {waiting:.0f} MB"
    assert flooded - warm < MOST_MB, f"{warm:.0f} MB became {flooded:.0f} MB"
