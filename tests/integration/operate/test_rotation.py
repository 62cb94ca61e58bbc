"""Webhooks are sealed at rest, keys are rotated while everything runs, and a wrong key stops the start."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.process.sealing import Keys, key_id, webhook_of
from contracts.process.settings import BadSettings
from steps.notices.webhook import webhook
from tests.integration.operate.conftest import Audit, Tool
from tests.kit.roles import as_role
from tests.kit.sandbox import REPOSITORY
from tests.kit.store_postgres import PostgresWorld
from tests.kit.tenants_at_work import TenantsAtWork, tenants_at_work

OLD, NEW, OTHER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
HOOK = "https://discord.example/api/webhooks/2/c4n4ry"
ROTATE = ("secrets", "rotate", "--reason", "yearly", "--json")
STORED = "SELECT tenant_id, url, sealed_by FROM discord_webhooks ORDER BY tenant_id"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the key, and a second one."""

    def given(key: bytes, second: bytes | None = None) -> None:
        monkeypatch.setenv("LEADSAGA_SECRETS_KEY", key.hex())
        monkeypatch.setenv("LEADSAGA_SECRETS_SECOND_KEY", second.hex() if second else "")

    given(OLD)
    return given


@pytest.fixture
async def steps(database_url: str) -> AsyncIterator[TenantsAtWork]:
    async with tenants_at_work(database_url) as found:
        yield found


@pytest.fixture
def rotator(operator: Tool, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Tool:
    """The tool of somebody who may rotate keys."""
    monkeypatch.setenv("LEADSAGA_STEPS_URL", as_role(database_url, "leadsaga_steps"))
    return operator


async def store(operator: Tool, monkeypatch: pytest.MonkeyPatch, tenant: str = "acme") -> Any:
    monkeypatch.setenv("LEADSAGA_DISCORD_WEBHOOK", f"{HOOK}-{tenant}")
    return await operator("tenants", "set", tenant, "--discord-webhook", "--reason", "r")


async def opened(steps: TenantsAtWork, tenant: str = "acme") -> str | None:
    async with steps.database.transaction(tenant) as connection:
        found = await webhook(connection, tenant)
    return None if found is None else found.url


async def stored(world: PostgresWorld) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await world.owner.pool.fetch(STORED)]


async def test_a_webhook_is_stored_sealed_and_opens_where_it_is_used(
    world: PostgresWorld, operator: Tool, steps: TenantsAtWork, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == (await store(operator, monkeypatch)).code
    assert [("acme", None, key_id(OLD))] == await stored(world)
    assert f"{HOOK}-acme" == await opened(steps)
    dump = "SELECT d::text || encode(sealed, 'escape') FROM discord_webhooks d"
    assert "c4n4ry" not in await world.owner.pool.fetchval(dump)


async def test_a_webhook_in_the_clear_is_read_and_one_that_is_set_later_by_the_older_release_wins(
    world: PostgresWorld, operator: Tool, steps: TenantsAtWork, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = (
        "INSERT INTO discord_webhooks (tenant_id, url) VALUES ('acme', $1)"
        " ON CONFLICT (tenant_id) DO UPDATE SET url = $1, disabled_at = NULL, disabled_reason = NULL"
    )
    await world.owner.pool.execute(older, "https://one.example")
    assert "https://one.example" == await opened(steps)
    await store(operator, monkeypatch)
    assert f"{HOOK}-acme" == await opened(steps)
    await world.owner.pool.execute(older, "https://two.example")
    assert "https://two.example" == await opened(steps)


async def test_keys_are_rotated_and_the_old_one_is_needed_no_more(
    world: PostgresWorld,
    rotator: Tool,
    steps: TenantsAtWork,
    audit: Audit,
    use: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for tenant in ("blue", "clear", "none"):
        await world.add_tenant(tenant)
    await store(rotator, monkeypatch)
    use(OLD, NEW)
    await store(rotator, monkeypatch, "blue")
    await world.owner.pool.execute("INSERT INTO discord_webhooks VALUES ('clear', $1)", f"{HOOK}-clear")
    await world.owner.pool.execute(
        "UPDATE discord_webhooks SET disabled_at = now(), disabled_reason = 'gone'"
    )

    use(NEW, OLD)
    before = len(await audit())
    ran = await rotator(*ROTATE)
    told = {
        name: ran.json[name] for name in ("key", "anew", "clear", "already", "retired", "in_use", "broken")
    }
    assert 0 == ran.code
    assert {
        "key": key_id(NEW), "anew": 2, "clear": 1, "already": 0,
        "retired": [key_id(OLD)], "in_use": [], "broken": [],
    } == told  # fmt: skip
    names = ("acme", "blue", "clear")
    assert [(tenant, None, key_id(NEW)) for tenant in names] == await stored(world)
    assert 3 == await world.owner.pool.fetchval("SELECT count(disabled_at) FROM discord_webhooks")
    rows = (await audit())[before:]
    assert [("ann", "yearly")] * 4 == [(row["actor"], row["reason"]) for row in rows]
    assert ["seal webhook"] * 3 + ["retire key"] == [row["action"] for row in rows]
    assert "c4n4ry" not in str(rows) + ran.out + ran.err

    use(NEW)
    await world.owner.pool.execute("UPDATE discord_webhooks SET disabled_at = NULL, disabled_reason = NULL")
    assert [f"{HOOK}-{tenant}" for tenant in names] == [await opened(steps, tenant) for tenant in names]
    again = await rotator(*ROTATE)
    assert (0, 3, before + 4) == (again.code, again.json["already"], len(await audit()))
    assert "key" in (await rotator("secrets", "rotate", "--reason", "r")).out


async def test_a_key_that_still_seals_something_is_kept_and_told(
    world: PostgresWorld, rotator: Tool, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.add_tenant("blue")
    await store(rotator, monkeypatch)
    await store(rotator, monkeypatch, "blue")
    await world.owner.pool.execute(
        "UPDATE discord_webhooks SET sealed = (SELECT sealed FROM discord_webhooks WHERE tenant_id = 'acme')"
        " WHERE tenant_id = 'blue'"
    )
    use(NEW, OLD)
    ran = await rotator(*ROTATE)
    assert (1, ["blue"], [key_id(OLD)], []) == (
        ran.code, ran.json["broken"], ran.json["in_use"], ran.json["retired"],
    )  # fmt: skip
    await store(rotator, monkeypatch, "blue")
    assert (0, [key_id(OLD)]) == ((ran := await rotator(*ROTATE)).code, ran.json["retired"])


async def test_a_key_beside_one_that_is_not_set_here_is_not_brought_in(
    world: PostgresWorld, rotator: Tool, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(rotator, monkeypatch)
    use(OTHER)
    for ran in (await store(rotator, monkeypatch), await rotator("secrets", "rotate", "--reason", "r")):
        assert (78, 1) == (ran.code, len(ran.err.splitlines()))
        assert key_id(OLD) in ran.err
    assert [("acme", None, key_id(OLD))] == await stored(world)


@pytest.mark.parametrize("missing", ["LEADSAGA_SECRETS_KEY", "LEADSAGA_STEPS_URL"])
async def test_without_its_settings_nothing_is_rotated(
    world: PostgresWorld, rotator: Tool, use: Any, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    ran = await rotator("secrets", "rotate", "--reason", "r")
    assert (78, f"{missing} is not set") == (ran.code, ran.err.strip())


async def test_a_rotation_needs_a_reason(world: PostgresWorld, rotator: Tool, use: Any) -> None:
    assert 1 == (await rotator("secrets", "rotate", "--reason", " ")).code


@pytest.mark.services
@pytest.mark.parametrize("key", [None, "c4n4ry", OTHER.hex()], ids=["missing", "malformed", "wrong"])
async def test_a_missing_or_wrong_key_stops_the_start_with_one_line(
    world: PostgresWorld, database_url: str, amqp_url: str, key: str | None
) -> None:
    sealed = Keys((OLD,)).seal(HOOK, webhook_of("acme"))
    await world.owner.pool.execute("INSERT INTO secret_keys (key_id) VALUES ($1)", sealed.key_id)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADSAGA_")}
    environment |= {
        "LEADSAGA_STEPS_URL": as_role(database_url, "leadsaga_steps"),
        "LEADSAGA_AMQP_URL": amqp_url,
        "LEADSAGA_QUEUE_PREFIX": "never.",
    }
    if key is not None:
        environment["LEADSAGA_SECRETS_KEY"] = key
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "steps", "notify_discord"),
        cwd=REPOSITORY,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await started.communicate()
    (line,) = said.decode().splitlines()
    assert BadSettings.EXIT_CODE == started.returncode
    assert "LEADSAGA_SECRETS_KEY" in line
    assert not any(secret in line for secret in ("c4n4ry", OTHER.hex(), OLD.hex()))
