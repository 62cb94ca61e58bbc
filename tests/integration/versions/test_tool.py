"""The operators' tool shows sagas of every release, also what only another one could explain."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from rich.console import Console

from contracts.process.postgres import Database
from orchestrator.operate import find, inspect
from orchestrator.operate.errors import Refused
from orchestrator.operate.migrate import migrate
from orchestrator.operate.orders import order
from orchestrator.operate.render import sagas as render
from tests.golden.kept import Record
from tests.integration.versions.conftest import SEARCH_PATH, connected, fill
from tests.kit.roles import as_role

pytestmark = pytest.mark.services

LATER = '{"kind": "slept", "at": "2027-01-01T12:00:00Z", "until": "2027-02-01T12:00:00Z"}'


@pytest.fixture
async def database(old: str, record: Record) -> AsyncIterator[Database]:
    """With the sagas of an older release, seen by an operator."""
    admin = await connected(old)
    await fill(admin, record)
    await admin.close()
    await migrate()
    pool = asyncpg.create_pool(
        as_role(old, "leadsaga_operator"), min_size=1, max_size=1, server_settings=SEARCH_PATH
    )
    async with pool:
        yield Database(pool)


@pytest.fixture
async def later(old: str, database: Database) -> str:
    """A parked saga, made one of a later release: of a version and with an entry that nobody knows here."""
    admin = await asyncpg.connect(old, server_settings=SEARCH_PATH)
    key = await admin.fetchrow(
        "UPDATE sagas SET version = 99, entries = entries + 1 WHERE status = 'parked'"
        " RETURNING tenant_id, saga_id, entries"
    )
    await admin.execute(
        "INSERT INTO saga_log (tenant_id, saga_id, seq, at, kind, entry)"
        " VALUES ($1, $2, $3, '2027-01-01 12:00Z', 'slept', $4)",
        *(*key, LATER),
    )
    await admin.close()
    return str(key["saga_id"])


async def test_every_saga_of_an_older_release_is_shown(database: Database) -> None:
    for standing in await find.sagas(database):
        shown = await inspect.show(database, str(standing.saga_id), standing.tenant_id)
        assert standing.saga in text_of(render.shown(shown))


async def test_a_saga_of_a_later_release_is_shown_as_far_as_it_can_be_read(
    database: Database, later: str
) -> None:
    told = text_of(render.shown(await inspect.show(database, later)))
    assert "lead v99" in told
    assert "slept: another release can say what it means" in told
    assert "report_to_stripe" in text_of(render.standings(await find.sagas(database, status="parked")))


async def test_nothing_can_be_ordered_for_it_here(database: Database, later: str) -> None:
    with pytest.raises(Refused, match="does not know lead v99: use the tool of a newer release"):
        await order(database, later, "replay", actor="ann", reason="mended", wait=0)


def text_of(shown: object) -> str:
    printer = Console(width=400)
    with printer.capture() as captured:
        printer.print(shown)
    return captured.get()
