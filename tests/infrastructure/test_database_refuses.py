"""The database is there, and does not serve us: it takes no connections, or somebody holds what we need."""

import pytest

from tests.kit.asking import lead_request
from tests.kit.breakable import Breakable
from tests.kit.outsider import PATIENCE
from tests.kit.sandbox import until
from tests.kit.system import Tenant

pytestmark = [
    pytest.mark.services,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(120),
]

NOBODY = 'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'
EVERYBODY = 'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'
NONE = "ALTER ROLE leadsaga_engine CONNECTION LIMIT 0; ALTER ROLE leadsaga_steps CONNECTION LIMIT 0"
ANY = "ALTER ROLE leadsaga_engine CONNECTION LIMIT -1; ALTER ROLE leadsaga_steps CONNECTION LIMIT -1"
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('leadsaga_engine', 'leadsaga_steps')
"""
TABLES = "sagas, saga_log, effects, holds, ledger, leads, work_due"
"""What a migration may have to rewrite."""
HAS_WAITED = {"orchestrator": "group_repeated", "steps": "database_contention"}
"""What each says once it has waited for a lock for as long as it will at a time."""


@pytest.mark.parametrize(
    ("refuse", "serve"),
    [(NOBODY, EVERYBODY), (NONE, ANY)],
    ids=["no connections allowed", "too many connections"],
)
async def test_work_waits_while_the_database_takes_no_connections(
    breakable: Breakable, tenant: Tenant, refuse: str, serve: str
) -> None:
    requests = await breakable.load(tenant)

    await breakable.administer(refuse, END_SESSIONS)
    await breakable.until_none_is_ready()
    await breakable.administer(serve)

    await breakable.works_again(tenant)
    await breakable.all_is_well(requests)


async def test_work_waits_for_a_migration_that_locks_the_tables(breakable: Breakable, tenant: Tenant) -> None:
    system = breakable.system
    requests = await breakable.load(tenant)

    def said() -> dict[str, int]:
        return {name: system.said(name).count(words) for name, words in HAS_WAITED.items()}

    async with system.sql.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        before, late = said(), lead_request(tenant)
        await system.upstream.ask(late)

        async def all_have_waited() -> bool:
            return all(count > before[name] for name, count in said().items())

        await until(all_have_waited, PATIENCE)

    await breakable.works_again(tenant)
    await breakable.all_is_well([*requests, late])
