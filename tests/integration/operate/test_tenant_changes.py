"""A tenant is mended by name and reason: the audit has both sides, a secret is in neither."""

import json
from pathlib import Path

import pytest

from contracts.errors import StepRejected
from steps.billing.flush import flush_tenant
from steps.report_to_stripe import STEP as REPORT
from tests.integration.operate.conftest import Audit, Tool
from tests.kit.stand_ins import FakeStripe, FakeWorker
from tests.kit.store_postgres import PostgresWorld
from tests.kit.tenants_at_work import again, tenants_at_work
from tests.kit.webhooks import stored_webhooks

OLD = "https://discord.example/api/webhooks/1/0ld"
NEW = "https://discord.example/api/webhooks/2/s3cr3t"
SET = ("tenants", "set", "acme", "--reason", "mended")
WEBHOOKS = "SELECT disabled_at, disabled_reason FROM discord_webhooks"


async def disabled_webhook(world: PostgresWorld) -> None:
    await world.owner.pool.execute("INSERT INTO discord_webhooks VALUES ('acme', $1, now(), 'gone')", OLD)


async def test_what_is_given_is_changed_the_rest_stays_and_the_audit_has_both_sides(
    world: PostgresWorld, operator: Tool, audit: Audit
) -> None:
    options = ("--stripe-customer", "cus_2", "--in-flight", 7, "--json")
    ran = await operator(*SET, *options)
    assert 0 == ran.code
    names = ("name", "plan_id", "stripe_customer", "sagas_in_flight", "model_calls")
    assert ["acme", "basic", "cus_2", 7, 4] == [ran.json[name] for name in names]
    assert ran.json == (await operator("tenants", "list", "--json")).json[0]
    (row,) = await audit()
    about = tuple(row[name] for name in ("actor", "action", "tenant_id", "reason"))
    assert ("ann", "change tenant", "acme", "mended") == about
    assert {"stripe_customer": None, "sagas_in_flight": 50} == json.loads(row["before"])
    assert {"stripe_customer": "cus_2", "sagas_in_flight": 7} == json.loads(row["after"])


async def test_limits_have_a_command_of_their_own(world: PostgresWorld, operator: Tool, audit: Audit) -> None:
    limits = ("tenants", "limits", "acme", "--sagas", 3, "--model-calls", 1)
    assert 2 == (await operator(*limits)).code, "without a reason"
    ran = await operator(*limits, "--reason", "too loud", "--json")
    assert (3, 1) == (ran.json["sagas_in_flight"], ran.json["model_calls"])
    (row,) = await audit()
    assert {"sagas_in_flight": 50, "model_calls": 4} == json.loads(row["before"])
    assert {"sagas_in_flight": 3, "model_calls": 1} == json.loads(row["after"])
    assert 2 == (await operator("tenants", "limits", "acme", "--reason", "nothing")).code
    assert 2 == (await operator("tenants", "limits", "acme", "--sagas", 0, "--reason", "none")).code


async def test_name_plan_and_model_calls_are_changed_too(world: PostgresWorld, operator: Tool) -> None:
    await operator("plans", "add", "growth", "--price", "0.40", "--currency", "eur", "--quota", "1000")
    ran = await operator(*SET, "--name", "Acme Ltd", "--plan", "growth", "--model-calls", 9, "--json")
    told = [ran.json[name] for name in ("name", "plan_id", "model_calls", "sagas_in_flight")]
    assert ["Acme Ltd", "growth", 9, 50] == told


@pytest.mark.parametrize("source", ["file", "environment"])
async def test_a_new_webhook_is_enabled_and_never_told(
    world: PostgresWorld,
    operator: Tool,
    audit: Audit,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: str,
) -> None:
    await disabled_webhook(world)
    if source == "file":
        (tmp_path / "hook").write_text(NEW + "\n")
        ran = await operator(*SET, "--discord-webhook-file", tmp_path / "hook")
    else:
        monkeypatch.setenv("LEADSAGA_DISCORD_WEBHOOK", NEW)
        ran = await operator(*SET, "--discord-webhook")
    assert 0 == ran.code
    assert {"acme": NEW} == await stored_webhooks(world.owner.pool)
    assert [(None, None)] == [tuple(row) for row in await world.owner.pool.fetch(WEBHOOKS)]
    (row,) = await audit()
    before, after = (json.loads(row[side])["discord_webhook"] for side in ("before", "after"))
    assert (True, "gone") == (before["set"], before["disabled_reason"])
    assert {"set": True, "disabled_at": None, "disabled_reason": None, "replaced": True} == after
    assert not any(word in ran.out + ran.err + str(row) for word in ("s3cr3t", "0ld", "discord.example"))


async def test_a_first_webhook_is_added(
    world: PostgresWorld, operator: Tool, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSAGA_DISCORD_WEBHOOK", NEW)
    assert 0 == (await operator(*SET, "--discord-webhook")).code
    assert {"acme": NEW} == await stored_webhooks(world.owner.pool)
    assert [(None, None)] == [tuple(row) for row in await world.owner.pool.fetch(WEBHOOKS)]
    assert {"set": False} == json.loads((await audit())[0]["before"])["discord_webhook"]


async def test_the_webhook_of_the_environment_is_not_set_unasked(
    world: PostgresWorld, operator: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disabled_webhook(world)
    monkeypatch.setenv("LEADSAGA_DISCORD_WEBHOOK", NEW)
    assert 0 == (await operator(*SET, "--in-flight", 3)).code
    assert 2 == (await operator(*SET)).code
    assert {"acme": OLD} == await stored_webhooks(world.owner.pool)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (SET, 2),
        ((*SET, "--discord-webhook"), 2),
        ((*SET, "--discord-webhook", "--discord-webhook-file", "/dev/null"), 2),
        ((*SET, "--discord-webhook-file", "/dev/null"), 2),
        ((*SET, "--name", " "), 2),
        ((*SET, "--stripe-customer", ""), 2),
        ((*SET, "--stripe-customer", "cus 1"), 2),
        ((*SET, "--in-flight", 0), 2),
        ((*SET, "--model-calls", 99_999_999_999), 2),
        ((*SET, "--plan", "gold"), 3),
        (("tenants", "set", "nobody", "--reason", "x", "--name", "Nobody"), 3),
        (("tenants", "set", "acme", "--name", "Acme"), 2),
        (("tenants", "set", "acme", "--name", "Acme", "--reason", " "), 1),
    ],
)
async def test_what_cannot_be_meant_changes_nothing_and_leaves_no_audit(
    world: PostgresWorld,
    operator: Tool,
    audit: Audit,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    code: int,
) -> None:
    monkeypatch.delenv("LEADSAGA_DISCORD_WEBHOOK", raising=False)
    before = (await operator("tenants", "list", "--json")).out
    ran = await operator(*arguments)
    assert (code, "") == (ran.code, ran.out)
    assert before == (await operator("tenants", "list", "--json")).out
    assert [] == await audit()


async def test_after_the_customer_is_mended_a_replay_bills_the_right_one_and_its_ids_are_kept(
    database_url: str, operator: Tool
) -> None:
    stripe = FakeStripe(failures=[("before", StepRejected("no such customer", error="CustomerNotFound"))])
    async with tenants_at_work(database_url) as at_work:
        worker = FakeWorker(at_work.database, stripe)
        await at_work.tenant("acme", customer="cus_wrong")
        command = await at_work.usage("acme", 5)
        await at_work.take(REPORT, command)
        await flush_tenant(worker, "acme")
        effects = "SELECT outside::text FROM effects WHERE step = 'report_to_stripe'"
        assert "{}" == await at_work.admin.fetchval(effects)

        assert 0 == (await operator(*SET, "--stripe-customer", "cus_right")).code
        await at_work.take(REPORT, again(command, 2))
        await flush_tenant(worker, "acme")

        assert (0, 5) == (stripe.billed("cus_wrong"), stripe.billed("cus_right"))
        assert ["rejected", "done"] == [reply.outcome.kind for reply in worker.replies]
        intent = await at_work.admin.fetchrow("SELECT identifier, intent_id FROM intents")
        kept = {"stripe_identifier": intent["identifier"], "intent_id": str(intent["intent_id"])}
        assert kept == json.loads(await at_work.admin.fetchval(effects))


async def test_two_tenants_never_share_a_customer_and_a_list_tells_whom_stripe_refuses(
    database_url: str, operator: Tool
) -> None:
    async with tenants_at_work(database_url) as at_work:
        await at_work.tenant("acme")
        await at_work.tenant("globex", customer=None)
        ran = await operator("tenants", "set", "globex", "--stripe-customer", "cus_acme", "--reason", "x")
        assert (1, True) == (ran.code, "cus_acme is the Stripe customer of acme" in ran.err)
        new = ("tenants", "add", "initech", "--name", "Initech", "--plan", "basic")
        assert 1 == (await operator(*new, "--stripe-customer", "cus_acme")).code
        assert 0 == (await operator(*SET, "--stripe-customer", "cus_acme")).code

        await at_work.usage("globex", 5)
        await flush_tenant(FakeWorker(at_work.database, FakeStripe()), "globex")
        listed = (await operator("tenants", "list", "--json")).json
        flags = {each["tenant_id"]: each["refused_by_stripe"] for each in listed}
        assert {"acme": None, "globex": "the tenant has no Stripe customer"} == flags
        assert "the tenant has no Stripe customer" in " ".join(
            (await operator("tenants", "list")).out.split()
        )
