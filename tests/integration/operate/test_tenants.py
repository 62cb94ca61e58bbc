"""Tenants and plans are added and changed by name, with the change in the audit and no secret anywhere."""

import json
from pathlib import Path

import pytest

from tests.integration.operate.conftest import Audit, Tool
from tests.kit.store_postgres import PostgresWorld
from tests.kit.webhooks import stored_webhooks

HOOK = "https://discord.example/api/webhooks/1/s3cr3t"


async def test_a_plan_is_added_listed_and_audited(world: PostgresWorld, operator: Tool, audit: Audit) -> None:
    options = ("--price", "0.40", "--currency", "eur", "--quota", "1000", "--overage")
    added = await operator("plans", "add", "growth", *options, "--json")
    assert (0, "0.40", True) == (added.code, added.json["price_per_lead"], added.json["overage"])
    listed = (await operator("plans", "list", "--json")).json
    assert ["basic", "growth"] == [plan["plan_id"] for plan in listed]
    (row,) = await audit()
    assert ("add plan", None, 1000) == (
        row["action"],
        row["before"],
        json.loads(row["after"])["monthly_quota"],
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("Growth", "--price", "0.40", "--currency", "eur", "--quota", "1"),
        ("growth", "--price", "-1", "--currency", "eur", "--quota", "1"),
        ("growth", "--price", "NaN", "--currency", "eur", "--quota", "1"),
        ("growth", "--price", "cheap", "--currency", "eur", "--quota", "1"),
        ("growth", "--price", "1", "--currency", "Euro", "--quota", "1"),
        ("growth", "--price", "1", "--currency", "eur", "--quota", "-1"),
        ("growth", "--price", "1", "--currency", "eur", "--quota", "99999999999"),
    ],
)
async def test_a_plan_that_makes_no_sense_is_wrong_usage(
    world: PostgresWorld, operator: Tool, arguments: tuple[str, ...]
) -> None:
    assert 2 == (await operator("plans", "add", *arguments)).code
    assert 1 == len((await operator("plans", "list", "--json")).json)


async def test_what_exists_already_is_refused(world: PostgresWorld, operator: Tool) -> None:
    again = ("--price", "1", "--currency", "eur", "--quota", "1")
    assert 1 == (await operator("plans", "add", "basic", *again)).code
    acme = ("tenants", "add", "acme", "--name", "Acme", "--plan", "basic", "--without-account")
    assert 1 == (await operator(*acme)).code


async def test_a_tenant_is_added_with_limits_and_its_webhook_is_never_told(
    world: PostgresWorld, operator: Tool, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_DISCORD_WEBHOOK", HOOK)
    said = ""
    options = ("--stripe-customer", "cus_1", "--in-flight", 7, "--model-calls", 2)
    added = await operator("tenants", "add", "blue", "--name", "Blue", "--plan", "basic", *options, "--json")
    assert (0, "cus_1", 7, 2) == (
        added.code, *(added.json[name] for name in ("stripe_customer", "sagas_in_flight", "model_calls")),
    )  # fmt: skip
    said += added.out + added.err + (await operator("tenants", "list")).out
    (row,) = await audit()
    said += str(row)
    assert ("add tenant", "blue", True) == (
        row["action"], row["tenant_id"], json.loads(row["after"])["discord_webhook"],
    )  # fmt: skip
    assert "s3cr3t" not in said
    assert {"blue": HOOK} == await stored_webhooks(world.owner.pool)


async def test_the_webhook_may_come_from_a_file_and_must_be_a_url(
    world: PostgresWorld, operator: Tool, tmp_path: Path
) -> None:
    file = tmp_path / "hook"
    blue = ("tenants", "add", "blue", "--name", "Blue", "--plan", "basic", "--discord-webhook-file", file)
    blue = (*blue, "--without-account")
    assert 2 == (await operator(*blue)).code
    file.write_text("s3cr3t, but no URL")
    ran = await operator(*blue)
    assert (2, False) == (ran.code, "s3cr3t" in ran.out + ran.err)
    file.write_text(HOOK + "\n")
    assert 0 == (await operator(*blue)).code
    assert {"blue": HOOK} == await stored_webhooks(world.owner.pool)


async def test_a_tenant_needs_a_plan_and_a_sound_id(world: PostgresWorld, operator: Tool) -> None:
    gold = ("tenants", "add", "blue", "--name", "Blue", "--plan", "gold", "--without-account")
    assert 3 == (await operator(*gold)).code
    assert 2 == (await operator("tenants", "add", "Blue.#", "--name", "Blue", "--plan", "basic")).code


async def test_a_tenant_is_suspended_and_resumed_with_a_reason(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    assert 0 == (await operator("tenants", "suspend", "acme", "--reason", "does not pay")).code
    assert "suspended" == (await operator("tenants", "list", "--json")).json[0]["status"]
    assert 0 == (await operator("tenants", "resume", "acme", "--reason", "paid")).code
    told = [
        (r["action"], r["reason"], json.loads(r["before"]), json.loads(r["after"])) for r in await audit()
    ]
    active, suspended = {"status": "active"}, {"status": "suspended"}
    assert [
        ("suspend tenant", "does not pay", active, suspended),
        ("resume tenant", "paid", suspended, active),
    ] == told
    assert 3 == (await operator("tenants", "suspend", "nobody", "--reason", "x")).code
    assert 1 == (await operator("tenants", "suspend", "acme", "--reason", "")).code
