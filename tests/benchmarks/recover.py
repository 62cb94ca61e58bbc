"""Everything is killed with thousands of sagas at every stage; how long until all of them have ended?"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from tests.benchmarks.load import loading
from tests.benchmarks.noop import STEPS
from tests.benchmarks.parts import Case, Measure, Metrics, Size, tenants_of
from tests.benchmarks.stage import Running, Stage, noop_programs
from tests.kit.sandbox import until

TENANTS = 100
PATIENCE = 600.0
PROGRAMS = noop_programs()
ENGINE = "orchestrator"
LAST = list(STEPS)[-1]
UNENDED = "SELECT count(*) FROM sagas WHERE status NOT IN ('completed', 'rolled_back')"
HALFWAY = "SELECT count(*) FROM effects WHERE step = 'insert_usage' AND answered > 0"


@asynccontextmanager
async def recover(stage: Stage, size: Size) -> AsyncIterator[Measure]:
    yield partial(_recover, stage, size)


async def _recover(stage: Stage, size: Size) -> list[Case]:
    tenants = tenants_of(TENANTS)
    settings = {"LEADSAGA_MAX_IN_FLIGHT": str(2 * size.recover)}
    first = {ENGINE: PROGRAMS[ENGINE]}
    async with stage.database(tenants) as url, stage.running(url, first, settings) as running:
        await _at_every_stage(stage, running, size.recover)
        metrics = await _killed(stage, running, size.recover)
    return [Case(f"{size.recover:,} sagas in flight", metrics)]


async def _at_every_stage(stage: Stage, running: Running, sagas: int) -> None:
    """Returns in the middle of the work: about half of them have taken their second step."""
    async with loading(stage.amqp_url, running.prefix, tenants_of(TENANTS), secrets.token_hex(4)) as load:
        load.ask(sagas)
        await _reached(running, UNENDED, sagas)
        # Steps begin once all are accepted; without the last step no saga ends before all are killed.
        running.start({name: each for name, each in PROGRAMS.items() if name not in {ENGINE, LAST}})
        await _reached(running, HALFWAY, sagas // 2)


async def _killed(stage: Stage, running: Running, sagas: int) -> Metrics:
    postgres, rabbitmq = stage.services.postgres, stage.services.rabbitmq
    assert postgres is not None
    assert rabbitmq is not None
    before = (postgres.url, rabbitmq.url)
    await asyncio.gather(running.kill(), postgres.kill(), rabbitmq.kill())
    began = time.perf_counter()
    await asyncio.gather(postgres.start(), rabbitmq.start())
    served = time.perf_counter()
    assert before == (postgres.url, rabbitmq.url), "another program took the port of a server"
    left = await _count(running, UNENDED)
    assert left == sagas, f"{sagas - left} sagas had ended, or are lost"
    halfway = await _count(running, HALFWAY)
    for name in list(running.children.running):
        running.children.restart(name)
    running.start({LAST: PROGRAMS[LAST]})
    await running.ready()
    ready = time.perf_counter()
    await _reached(running, UNENDED, 0, at_most=True)
    ended = time.perf_counter()
    return {
        "until all have ended s": ended - served,
        "of that until processes are ready s": ready - served,
        "before it, until servers answer s": served - began,
        "past their second step %": 100 * halfway / sagas,
        **running.memory(),
    }


async def _reached(running: Running, query: str, wanted: int, *, at_most: bool = False) -> None:
    connection = await asyncpg.connect(running.database_url, server_settings={"search_path": "leadsaga"})

    async def holds() -> bool:
        found = int(await connection.fetchval(query))
        return found <= wanted if at_most else found >= wanted

    try:
        await until(holds, PATIENCE)
    finally:
        await connection.close()


async def _count(running: Running, query: str) -> int:
    connection = await asyncpg.connect(running.database_url, server_settings={"search_path": "leadsaga"})
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
