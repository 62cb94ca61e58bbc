"""Thousands of tenants have usage that Stripe was not told of: how long until it was, and all sagas ended?"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from tests.benchmarks.copies import copy
from tests.benchmarks.cpu import per_saga
from tests.benchmarks.load import loading
from tests.benchmarks.parts import Case, Measure, Metrics, Size, tenants_of
from tests.benchmarks.stage import Program, Stage
from tests.benchmarks.vendors import (
    ORCHESTRATOR,
    QUEUES,
    Sandbox,
    all_but,
    introduce,
    sandboxed,
    step_program,
)
from tests.kit.sandbox import until

STEP = "report_to_stripe"
SETTINGS = {"LEADSAGA_MODEL_CALL_TIMEOUT": "30"}
NEVER = {**SETTINGS, "LEADSAGA_FLUSH_INTERVAL": "86400"}
FIELDS = b'"criteria":"bicycle makers in Utrecht","leads":5'
PATIENCE = 900.0
PROGRAMS: dict[str, Program] = {
    "orchestrator": ORCHESTRATOR,
    "others": all_but(STEP),
    STEP: step_program(STEP),
}

COPIED = {
    "tenants": {"stripe_customer": "'cus_bench' || n"},
    "requests": {},
    "sagas": {},
    "saga_log": {},
    "effects": {},
    "quota_periods": {},
    "holds": {},
    "model_calls": {},
    "leads": {},
    "ledger": {},
    "uncarried": {},
    "work_due": {"due_at": "now() + interval '1 day'"},
}
"""What one tenant's saga has left behind, and what differs in each copy beside the tenant."""

OWED = "SELECT count(*) FROM effects WHERE owed"
TOLD = "SELECT count(*) FROM intents WHERE state = 'confirmed'"
ENDED = "SELECT count(*) FROM sagas WHERE status = 'completed'"


@asynccontextmanager
async def flush(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    yield partial(_flush, stage, size)


async def _flush(stage: Stage, size: Size) -> list[Case]:
    async with sandboxed(stage) as sandbox, stage.database(tenants_of(1)) as url:
        connection = await asyncpg.connect(
            url, command_timeout=PATIENCE, server_settings={"search_path": "leadsaga"}
        )
        try:
            await _multiply(stage, sandbox, url, connection, size.flush_tenants)
            metrics = await _told(stage, sandbox, url, connection, size.flush_tenants + 1)
        finally:
            await connection.close()
    return [Case(f"{size.flush_tenants:,} tenants", metrics)]


async def _multiply(
    stage: Stage, sandbox: Sandbox, url: str, connection: asyncpg.Connection, tenants: int
) -> None:
    """One tenant's saga comes as far as its report, which is not made; then there are many of it."""
    first = tenants_of(1)
    await introduce(sandbox, url, first)
    run = secrets.token_hex(4)
    async with (
        stage.running(url, PROGRAMS, NEVER, sandbox_url=sandbox.url, queues=QUEUES) as running,
        loading(stage.amqp_url, running.prefix, first, run, "leads_ready", FIELDS) as load,
    ):
        load.ask(1)
        await _reached(connection, OWED, 1)
    for table, changed in COPIED.items():
        numbered = {"tenant_id": "'f-' || lpad(n::text, 6, '0')", **changed}
        await copy(connection, table, numbered, range(tenants), first[0])
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    await sandbox.admin.settings(stripe_unknown_customer="accept")


async def _told(
    stage: Stage, sandbox: Sandbox, url: str, connection: asyncpg.Connection, sagas: int
) -> Metrics:
    """Timed from when all of them are due at once."""
    async with stage.running(url, PROGRAMS, SETTINGS, sandbox_url=sandbox.url, queues=QUEUES) as running:
        meter = stage.meter(lambda: running.pids, sandbox=lambda: [sandbox.pid])
        before, began = meter.read(), time.perf_counter()
        await connection.execute("UPDATE work_due SET due_at = now()")
        await _reached(connection, TOLD, sagas)
        told = time.perf_counter()
        await _reached(connection, ENDED, sagas)
        return {
            "tenants/s": sagas / (told - began),
            "until Stripe was told s": told - began,
            "until all have ended s": time.perf_counter() - began,
            **per_saga(before, meter.read(), sagas),
            **running.memory(),
        }


async def _reached(connection: asyncpg.Connection, query: str, wanted: int) -> None:
    async def holds() -> bool:
        return int(await connection.fetchval(query)) >= wanted

    await until(holds, PATIENCE)
