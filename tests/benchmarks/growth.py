"""Does a saga cost more when millions have ended before it? Sagas that ended are loaded by SQL."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from tests.benchmarks.copies import TABLES, copy_finished
from tests.benchmarks.engine import LAYOUTS, TYPICAL, loaded, saturated
from tests.benchmarks.load import loading
from tests.benchmarks.parts import Case, Measure, Size, tenants_of
from tests.benchmarks.stage import Stage

LAYOUT = "one process for all steps"
IN_FLIGHT = 500
LOADING_SECONDS = 3600.0
"""That one statement may take while the past is loaded."""


@asynccontextmanager
async def growth(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    """A database for each number of finished sagas, so that they are measured in turn."""
    async with AsyncExitStack() as stack:
        databases = {
            finished: await stack.enter_async_context(stage.database(tenants_of(TYPICAL)))
            for finished in size.finished
        }
        for finished, url in databases.items():
            await _fill(stage, url, finished)

        async def measure() -> list[Case]:
            return [await _one(stage, size, finished, url) for finished, url in databases.items()]

        yield measure


async def _one(stage: Stage, size: Size, finished: int, url: str) -> Case:
    tenants = tenants_of(TYPICAL)
    async with (
        stage.running(url, LAYOUTS[LAYOUT]) as running,
        loaded(stage, running, tenants) as (load, meter),
    ):
        metrics = await saturated(load, meter, min(IN_FLIGHT, max(size.levels)), size.warm, size.window)
        return Case(f"{finished:,} finished sagas", metrics | running.memory())


async def _fill(stage: Stage, url: str, finished: int) -> None:
    """One saga runs, and is copied; then what autovacuum would have done long ago is done."""
    (tenant,) = tenants_of(1)
    async with (
        stage.running(url, LAYOUTS[LAYOUT]) as running,
        loading(stage.amqp_url, running.prefix, [tenant], secrets.token_hex(4)) as load,
    ):
        load.ask(1)
        await load.ended()
    connection = await asyncpg.connect(
        url, command_timeout=LOADING_SECONDS, server_settings={"search_path": "leadsaga"}
    )
    try:
        saga_id = await connection.fetchval("SELECT saga_id FROM sagas WHERE status = 'completed'")
        await copy_finished(connection, tenant, saga_id, range(finished), TYPICAL)
        for table in TABLES:
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        await connection.execute("CHECKPOINT")
        stage.say(f"growth: {finished:,} finished sagas take {await _megabytes(connection):,} MB")
    finally:
        await connection.close()


async def _megabytes(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("SELECT pg_database_size(current_database()) / 1048576"))
