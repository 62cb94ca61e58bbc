"""A tenant is added with its account at Stripe, or not at all."""

from pathlib import Path
from typing import Any

import pytest

from contracts.ids import ADMINISTRATION
from contracts.requests import LeadRequested, TenantRequested
from tests.kit.asking import lead_request
from tests.kit.operator import leadsaga
from tests.kit.provisioning import account_of, tenant_request
from tests.kit.system import WEBHOOK_TOKEN, RunningSystem, Tenant

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="package")]

LEFT = """
SELECT (SELECT count(*) FROM tenants WHERE tenant_id = $1)
    + (SELECT count(*) FROM feature_flags WHERE tenant_id = $1)
    + (SELECT count(*) FROM discord_webhooks WHERE tenant_id = $1)
"""
ASKED_FOR_ITS_ACCOUNT = """
SELECT count(*) > 0 FROM saga_log l JOIN requests r USING (tenant_id, saga_id)
WHERE r.request_id = $1 AND l.kind = 'requested' AND l.entry ->> 'step' = 'open_account'
"""
CANCEL = """
INSERT INTO orders (order_id, tenant_id, saga_id, kind, actor, reason)
SELECT gen_random_uuid(), tenant_id, saga_id, 'cancel', 'ann', 'a mistake' FROM requests WHERE request_id = $1
"""
CUSTOMER = "SELECT stripe_customer FROM tenants WHERE tenant_id = $1"
FLAGS = "SELECT flag FROM feature_flags WHERE tenant_id = $1 AND enabled ORDER BY flag"
ADD_A_TENANT = ("--name", "Newcomer", "--plan")


async def test_the_tool_adds_a_tenant_that_is_welcomed_and_asks_and_is_billed(
    system: RunningSystem, tmp_path: Path
) -> None:
    plan = (await system.tenant()).tenant_id
    await system.sandbox.register_webhook("77", WEBHOOK_TOKEN)
    file = tmp_path / "hook"
    file.write_text(f"{system.sandbox_url}/discord/api/webhooks/77/{WEBHOOK_TOKEN}")
    options = ("--discord-webhook-file", file, "--flag", "beta", "--flag", "lead_requests=off", "--json")

    added = await leadsaga(system, "tenants", "add", "newcomer", *ADD_A_TENANT, plan, *options)

    assert 0 == added.code, added.err
    assert ("active", plan) == (added.json["status"], added.json["plan_id"])
    customer = added.json["stripe_customer"]
    assert {customer: 1} == await account_of(system, "newcomer")
    assert ["beta", "discord_notices"] == [row["flag"] for row in await system.sql.fetch(FLAGS, "newcomer")]
    actor = "SELECT actor FROM audit WHERE tenant_id = 'newcomer' AND action = 'add tenant'"
    assert "ann" == await system.sql.fetchval(actor)

    newcomer = Tenant("newcomer", customer, "77")
    wanted = lead_request(newcomer)
    await system.upstream.ask(wanted)
    assert "completed" == (await system.upstream.outcome(wanted)).event
    await system.until_settled(newcomer)
    assert 3 == await system.told_stripe(newcomer)
    await system.until_sql(
        "SELECT state = 'sent' FROM notices WHERE event = 'welcome' AND tenant_id = 'newcomer'"
    )
    (welcome, *_) = await system.sandbox.messages("77")
    assert "Welcome, Newcomer" in str(welcome["body"])


async def test_the_same_request_twice_adds_one_tenant_and_is_answered_twice(system: RunningSystem) -> None:
    asked = tenant_request((await system.tenant()).tenant_id)
    await system.upstream.ask(asked, asked)
    await _heard(system, asked, "provisioned")
    await system.upstream.ask(asked)
    await _heard(system, asked, "provisioned", times=2)
    assert [1] == list((await account_of(system, asked.new_tenant)).values())


async def test_of_two_requests_for_one_id_one_is_taken_and_the_other_leaves_nothing(
    system: RunningSystem,
) -> None:
    plan = (await system.tenant()).tenant_id
    first = tenant_request(plan)
    second = tenant_request(plan, new_tenant=first.new_tenant)
    await system.upstream.ask(first, second)
    ends = [(await _heard(system, asked)).event for asked in (first, second)]
    assert ["failed", "provisioned"] == sorted(ends)
    account = await account_of(system, first.new_tenant)
    assert [await system.sql.fetchval(CUSTOMER, first.new_tenant)] == list(account)


async def test_what_stripe_refuses_leaves_nothing_and_can_be_asked_again(system: RunningSystem) -> None:
    plan = (await system.tenant()).tenant_id
    fault = await system.sandbox.fault("stripe.subscriptions", method="POST", status=400)
    asked = tenant_request(plan)
    await system.upstream.ask(asked)
    failed = await _heard(system, asked)
    assert ("failed", True) == (failed.event, "Stripe refused" in failed.reason)
    assert 0 == await system.sql.fetchval(LEFT, asked.new_tenant)
    assert {} == await account_of(system, asked.new_tenant)

    await system.sandbox.clear_faults(fault)
    again = tenant_request(plan, new_tenant=asked.new_tenant)
    await system.upstream.ask(again)
    await _heard(system, again, "provisioned")


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "after", "times": 1},
        {"status": 500, "effect": True, "times": 1},
        {"status": 500, "times": 2},
        {"status": 429, "times": 2},
    ],
    ids=["answer lost", "failed after the effect", "failed twice", "busy"],
)
async def test_a_customer_of_which_nobody_knows_is_found_and_not_made_twice(
    system: RunningSystem, fault: dict[str, object]
) -> None:
    asked = tenant_request((await system.tenant()).tenant_id)
    await system.sandbox.fault("stripe.customers", method="POST", match=asked.new_tenant, **fault)
    await system.upstream.ask(asked)
    await _heard(system, asked, "provisioned")
    account = await account_of(system, asked.new_tenant)
    assert {await system.sql.fetchval(CUSTOMER, asked.new_tenant): 1} == account


async def test_a_customer_that_was_made_unseen_goes_when_its_tenant_is_given_up(
    system: RunningSystem,
) -> None:
    asked = tenant_request((await system.tenant()).tenant_id)
    lost = {"method": "POST", "match": asked.new_tenant, "drop": "after", "delay_seconds": 2, "times": 1}
    await system.sandbox.fault("stripe.customers", **lost)
    await system.upstream.ask(asked)
    await system.until_sql(ASKED_FOR_ITS_ACCOUNT, asked.request_id)
    await system.sql.execute(CANCEL, asked.request_id)
    assert "failed" == (await _heard(system, asked)).event
    made = [call for call in await system.sandbox.calls("stripe.customers") if asked.new_tenant in str(call)]
    assert made
    assert {} == await account_of(system, asked.new_tenant)
    assert 0 == await system.sql.fetchval(LEFT, asked.new_tenant)


async def test_a_plan_that_is_billed_by_hand_needs_no_account(system: RunningSystem) -> None:
    plan = (await system.tenant()).tenant_id
    await system.sql.execute("UPDATE plans SET billing = 'manual' WHERE plan_id = $1", plan)
    asked = tenant_request(plan)
    await system.upstream.ask(asked)
    assert (await _heard(system, asked, "provisioned")).stripe_customer is None
    assert {} == await account_of(system, asked.new_tenant)


async def test_nobody_may_ask_for_a_tenant_that_is_still_being_added(system: RunningSystem) -> None:
    plan = (await system.tenant()).tenant_id
    half = tenant_request(plan).new_tenant
    await system.sql.execute(
        "INSERT INTO tenants (tenant_id, name, status, plan_id, provisioned_by)"
        " VALUES ($1, 'Half', 'provisioning', $2, gen_random_uuid())",
        *(half, plan),
    )
    early = lead_request(Tenant(half, "", ""))
    await system.upstream.ask(early)
    assert "still being added" in (await system.upstream.outcome(early)).reason
    resumed = await leadsaga(system, "tenants", "resume", half, "--reason", "impatience")
    assert (1, True) == (resumed.code, "still being added" in resumed.err)


async def test_a_tenants_own_request_for_a_tenant_is_refused(system: RunningSystem) -> None:
    tenant = await system.tenant()
    asked = tenant_request(tenant.tenant_id)
    body = asked.model_dump_json().replace(f'"{ADMINISTRATION}"', f'"{tenant.tenant_id}"').encode()
    await system.upstream.send_raw(body, f"{tenant.tenant_id}.tenant_requested")
    await system.until_buried(asked.new_tenant.encode())
    await system.upstream.send_raw(asked.model_dump_json().encode(), f"{tenant.tenant_id}.tenant_requested")
    await system.until_sql(
        "SELECT count(*) = 2 FROM dead_letters WHERE position($1 IN message) > 0", asked.new_tenant.encode()
    )
    assert 0 == await system.sql.fetchval(LEFT, asked.new_tenant)


async def test_the_administration_gets_no_leads(system: RunningSystem) -> None:
    wanted = LeadRequested(tenant_id=ADMINISTRATION, request_id="r-1", criteria="anything", leads=1)
    await system.upstream.ask(wanted)
    assert "over quota" in (await system.upstream.outcome(wanted)).reason


async def _heard(system: RunningSystem, asked: TenantRequested, *names: str, times: int = 1) -> Any:
    wanted = names or ("provisioned", "failed", "refused", "parked")
    return await system.upstream.wait_for(
        lambda event: event.event in wanted and event.request_id == asked.request_id, times=times
    )
