"""Records what a release stores, says and executes, for the releases that come after it to be held to.

`python -m tests.golden.record tests/golden/vN`, run from the release itself, with services of its own. Once a
release is out its record is never changed.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import asyncpg

from contracts import snapshots
from deploy.local.place import temporary
from deploy.local.services import Services, services
from orchestrator.operate.migrations import this_release
from tests.golden import statements, watch
from tests.golden.machine import machine_stories
from tests.golden.story import told
from tests.kit.broker import own_prefix
from tests.kit.database import named
from tests.kit.sandbox import running_sandbox
from tests.kit.system import REPOSITORY, running_system

DATABASE = "leadsaga_recorded"

TABLES = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'leadsaga'::regnamespace AND c.relkind = 'r'
    AND c.relname <> 'schema_versions'
ORDER BY c.oid
"""

SAGAS = """
SELECT s.saga, s.version, s.request, s.state, jsonb_agg(l.entry ORDER BY l.seq) AS entries
FROM sagas s JOIN saga_log l USING (tenant_id, saga_id)
GROUP BY s.tenant_id, s.saga_id ORDER BY min(l.at)
"""


async def record(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(REPOSITORY / "schema.sql", target / "schema.sql")
    (target / "schemas").mkdir()
    for name, schema in snapshots.schemas().items():
        (target / "schemas" / f"{name}.json").write_text(snapshots.text(schema))
    (target / "statements.json").write_text(_json(statements.collected()))
    with temporary() as directory:
        async with services(directory, durable=False) as found:
            await _live(found, directory, target)


async def _live(found: Services, directory: Path, target: Path) -> None:
    """The story of a few tenants on real processes, and what is left of it."""
    assert found.postgres is not None, "the server's own log is read, so it has to be ours"
    await _install(found)
    logged = await watch.begin(found)
    url = named(found.database_url, DATABASE)
    async with (
        own_prefix(found.amqp_url) as prefix,
        running_sandbox(directory / "sandbox") as sandbox,
        running_system(url, found.amqp_url, prefix, sandbox, directory) as system,
    ):
        messages = await told(system, found.amqp_url)
        # What is under way stays as it is, and the server's log ends with it.
        await asyncio.gather(*map(system.kill, system.processes))
        rows, sagas = await _rows(url)
    (target / "messages.json").write_text(_json(messages))
    (target / "rows.json").write_text(_json(rows))
    (target / "sagas.json").write_text(_json([*sagas, *machine_stories()]))
    (target / "run.json").write_text(_json(watch.transactions(logged, DATABASE)))


async def _install(found: Services) -> None:
    admin = await asyncpg.connect(found.database_url)
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    await admin.close()
    owner = await asyncpg.connect(named(found.database_url, DATABASE))
    await owner.execute(this_release().schema.text)
    await owner.close()


async def _rows(url: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All rows, by table in the order in which they can be inserted; and every saga with its log."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "leadsaga"})
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = {}
        for (table,) in await connection.fetch(TABLES):
            found = await connection.fetch(f"SELECT to_jsonb(t) AS row FROM {table} t ORDER BY t::text")
            rows[table] = [each["row"] for each in found]
        sagas = [dict(each) for each in await connection.fetch(SAGAS)]
    await connection.close()
    return rows, sagas


def _json(value: object) -> str:
    """One line for each element, so that a difference can be read."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in value) + "\n]\n"
    assert isinstance(value, dict)
    parts = [
        f"{json.dumps(name)}: {_json(each) if isinstance(each, list) else json.dumps(each)}"
        for name, each in value.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
