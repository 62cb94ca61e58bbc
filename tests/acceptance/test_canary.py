"""Secrets of ours and texts of tenants, planted wherever there are some, on a running system in which much
goes wrong: they turn up in no log, metric, header or error, and secrets in no message and no row."""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.process.sealing import webhook_of
from tests.kit.asking import cancel_of, delivered, lead_request, refund_of
from tests.kit.canary import Tap, rows, seen, tapped, waiting
from tests.kit.sandbox import running_sandbox, until
from tests.kit.system import RunningSystem, Tenant, running_system
from tests.kit.webhooks import KEYS, SECOND_KEY, SECRETS_KEY
from tests.kit.zygote import ForkedChildren, zygote

pytestmark = [pytest.mark.services, pytest.mark.timeout(150)]

TEXT = "c4n4ry-words-of-a-tenant"
WEBHOOK = "c4n4ry-token-of-a-webhook"
VENDORS = {
    "ANTHROPIC_API_KEY": "sk-ant-c4n4ry0of0anthropic",
    "STRIPE_API_KEY": "sk_test_c4n4ry0of0stripe",
}
SECRETS = (WEBHOOK, SECRETS_KEY, SECOND_KEY, *VENDORS.values())


@dataclass(frozen=True)
class Planted:
    system: RunningSystem
    tap: Tap
    amqp_url: str = field(repr=False)

    async def tenant(self, **options: Any) -> Tenant:
        """Its webhook is sealed, as the tool does it, and has the canary for a token."""
        tenant = await self.system.tenant(**options)
        await self.system.sandbox.register_webhook(tenant.webhook, WEBHOOK)
        url = f"{self.system.sandbox_url}/discord/api/webhooks/{tenant.webhook}/{WEBHOOK}"
        it = KEYS.seal(url, webhook_of(tenant.tenant_id))
        await self.system.sql.execute(
            "INSERT INTO secret_keys (key_id) VALUES ($1) ON CONFLICT DO NOTHING", it.key_id
        )
        await self.system.sql.execute(
            "UPDATE discord_webhooks SET url = NULL, sealed = $2, sealed_by = $3 WHERE tenant_id = $1",
            *(tenant.tenant_id, it.sealed, it.key_id),
        )
        return tenant

    async def fault(self, route: str, match: str, **what: Any) -> None:
        await self.system.sandbox.fault(route, match=match, **what)


@pytest.fixture
async def planted(
    database_url: str, amqp_url: str, queue_prefix: str, tmp_path: Path
) -> AsyncIterator[Planted]:
    settings = {**VENDORS, "LEADSAGA_LOG_LEVEL": "debug"}
    async with (
        zygote() as forks,
        running_sandbox(tmp_path / "sandbox") as sandbox_url,
        running_system(
            *(database_url, amqp_url, queue_prefix, sandbox_url, tmp_path),
            settings=settings,
            make_children=partial(ForkedChildren, zygote=forks),
        ) as system,
        tapped(amqp_url, system.names) as tap,
    ):
        yield Planted(system, tap, amqp_url)


def asked(tenant: Tenant) -> Any:
    return lead_request(tenant, criteria=f"{TEXT} {secrets.token_hex(4)}")


async def all_goes_well(planted: Planted) -> None:
    tenant = await planted.tenant()
    request = asked(tenant)
    await delivered(planted.system, request)
    refund = refund_of(request, 1).model_copy(update={"reason": f"closed: {TEXT}"})
    await planted.system.upstream.ask(refund)
    await planted.system.upstream.outcome(refund)

    async def told() -> bool:
        return bool(await planted.system.sandbox.messages(tenant.webhook))

    await until(told, 30.0)


async def the_model_fails(planted: Planted) -> None:
    for status in (400, 401, 529):
        request = asked(await planted.tenant())
        await planted.fault("anthropic.messages", request.criteria.split()[1], status=status)
        await planted.system.upstream.ask(request)
        assert "failed" == (await planted.system.upstream.outcome(request)).event


async def stripe_and_discord_fail(planted: Planted) -> None:
    unknown = await planted.tenant(known_to_stripe=False)
    request = asked(unknown)
    await planted.fault("discord.webhook", unknown.webhook, status=404)
    await planted.system.upstream.ask(request)
    assert "parked" == (await planted.system.upstream.outcome(request)).event
    await planted.system.until_sql(
        "SELECT disabled_at IS NOT NULL FROM discord_webhooks WHERE tenant_id = $1", unknown.tenant_id
    )
    for status in (401, 500):
        tenant = await planted.tenant()
        await planted.fault("stripe.meter_events", tenant.customer, status=status, times=2)
        await planted.fault("discord.webhook", tenant.webhook, status=500)
        await delivered(planted.system, asked(tenant))


async def nonsense_comes_in(planted: Planted) -> None:
    system, tenant = planted.system, await planted.tenant()
    request = asked(tenant)
    for name in request.model_dump():
        if name not in {"tenant_id", "request_id"}:
            body = {**request.model_dump(), name: {TEXT: [TEXT]}, "request_id": f"r-{secrets.token_hex(4)}"}
            await system.upstream.send_raw(json.dumps(body).encode(), f"{tenant.tenant_id}.lead_requested")
    bundle = json.dumps(
        {"v": 1, "items": [{TEXT: TEXT}, {"outcome": {"kind": TEXT}, "attempt": TEXT}]}
    ).encode()
    await system.upstream.send_raw(TEXT.encode(), "nobody.lead_requested")
    await system.upstream.send_reply_bytes(bundle)
    for queue in ("reserve_quota", "generate_leads", "notify_discord"):
        await system.upstream.send_command_bytes(queue, bundle)
    cancelled = cancel_of(request).model_copy(update={"reason": TEXT})
    await system.upstream.ask(cancelled)
    await system.until_sql("SELECT count(*) >= 15 FROM dead_letters")


async def test_what_is_secret_or_a_tenants_turns_up_nowhere(planted: Planted) -> None:
    system = planted.system
    await all_goes_well(planted)
    await the_model_fails(planted)
    await stripe_and_discord_fail(planted)
    await nonsense_comes_in(planted)

    stored, tap = await rows(system.sql), planted.tap
    letters = "SELECT error || reason || fingerprint || queue || coalesce(routing_key, '') FROM dead_letters"
    errors = [row[0] for row in await system.sql.fetch(letters)]
    errors += [str(row[0]) for row in await system.sql.fetch("SELECT error FROM notices")]
    errors += [str(row[0]) for row in await system.sql.fetch("SELECT error FROM model_calls")]
    async with httpx2.AsyncClient() as http:
        ports = system.ports.values()
        metrics = [(await http.get(f"http://127.0.0.1:{port}/metrics")).text for port in ports]
    logs = [system.said(process) for process in system.processes]
    await system.children.stop()
    logs += [file.read_text(errors="replace") for file in system.children.logs.glob("*.log")]
    lying = await waiting(planted.amqp_url, system.names)

    # What is looked at is there: the tenant's words went through, and every place has something in it.
    assert {TEXT} == seen([TEXT], tap.bodies) == seen([TEXT], stored["sagas"])
    assert all(len("".join(place)) > 500 for place in (logs, metrics, tap.around, errors))
    places = {"logs": logs, "metrics": metrics, "around messages": tap.around, "errors": errors}
    for name, place in places.items():
        assert set() == seen([*SECRETS, TEXT], place), name
    assert set() == seen(SECRETS, [*tap.bodies, *lying]), "messages"
    for table, found in stored.items():
        assert set() == seen(SECRETS, found), table
    assert set() == seen([TEXT], stored["audit"])
