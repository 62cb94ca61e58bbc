"""The story of a few tenants: every end that a request can come to, and some that are still under way."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from contracts.names import REPLIES, Names
from contracts.requests import LeadRequested
from steps import catalogue
from tests.kit.asking import cancel_of, delivered, lead_request, refund_of
from tests.kit.system import RunningSystem, Tenant

OF_A_KIND = 3
"""So many messages that differ in nothing but their values are kept."""


async def told(system: RunningSystem, amqp_url: str) -> list[dict[str, Any]]:
    """Returns what travelled. Some requests are left under way, one of them parked."""
    async with _listening(amqp_url, system.names) as messages:
        tenant = await system.tenant(quota=100)
        billed = lead_request(tenant, leads=30)
        await delivered(system, billed)
        await system.upstream.ask(billed)
        await system.upstream.outcome(billed, "completed", times=2)
        await asyncio.gather(
            _refunds(system, billed),
            _refusals(system, tenant),
            _troubled_model(system, tenant),
            _parked_and_replayed(system),
            _parked_and_resolved(system),
            _parked(system),
        )
        await system.upstream.send_raw(b'{"v": 1, "type": "nonsense"}', f"{tenant.tenant_id}.nonsense")
        await system.until_buried(b"nonsense")
        await system.until_settled(tenant)
        await _tool(system, "show", billed.request_id)
        await _tool(system, "leads", billed.request_id, "--tenant", tenant.tenant_id)
        for command in (["list"], ["usage"], ["dead-letters", "list"], ["tenants", "list"]):
            await _tool(system, *command)
        await _under_way(system)
    return messages


async def _refunds(system: RunningSystem, billed: LeadRequested) -> None:
    some, too_many = refund_of(billed, leads=4), refund_of(billed, leads=400)
    for refund in (some, too_many):
        await system.upstream.ask(refund)
        await system.upstream.outcome(refund)


async def _refusals(system: RunningSystem, tenant: Tenant) -> None:
    over, never, changed = (lead_request(tenant, leads=leads) for leads in (400, 1, 1))
    await system.upstream.ask(over, cancel_of(never), refund_of(never))
    await system.upstream.outcome(over, "failed")
    await system.upstream.outcome(never, "refused")
    await delivered(system, changed)
    await system.upstream.ask(changed.model_copy(update={"leads": 2}))
    await system.upstream.outcome(changed, "refused")


async def _troubled_model(system: RunningSystem, tenant: Tenant) -> None:
    """One whose model never answers; one whose model fails once; one that is cancelled meanwhile."""
    silent, slow, unwanted = (lead_request(tenant, leads=3) for _ in range(3))
    for request, fault in (
        (silent, {"status": 529}),
        (slow, {"status": 500, "times": 1}),
        (unwanted, {"delay_seconds": 1.0}),
    ):
        await system.sandbox.fault("anthropic.messages", match=request.request_id, **fault)
    await system.upstream.ask(silent, slow, unwanted)
    await _at(system, unwanted, "generate_leads")
    await system.upstream.ask(cancel_of(unwanted))
    for request in (silent, slow, unwanted):
        await system.upstream.outcome(request)


async def _parked(system: RunningSystem) -> LeadRequested:
    orphan = await system.tenant(known_to_stripe=False)
    request = lead_request(orphan, leads=2)
    await system.upstream.ask(request)
    await system.upstream.outcome(request, "parked")
    return request


async def _parked_and_replayed(system: RunningSystem) -> None:
    request = await _parked(system)
    customer = await system.billing.create_customer(request.tenant_id, request.tenant_id)
    why = ["--reason", "mended"]
    await _tool(system, "tenants", "set", request.tenant_id, "--stripe-customer", customer, *why)
    await _tool(system, "replay", request.request_id, "--tenant", request.tenant_id, *why)
    await system.upstream.outcome(request, "completed")


async def _parked_and_resolved(system: RunningSystem) -> None:
    request = await _parked(system)
    why = ["--reason", "billed by hand"]
    named = [request.request_id, "--tenant", request.tenant_id]
    await _tool(system, "resolve", *named, "--as", "done", *why)
    await system.upstream.outcome(request, "completed")


async def _under_way(system: RunningSystem) -> None:
    """One runs, and one waits for its turn; both go on when the processes of another release do."""
    tenant = await system.tenant()
    await system.sql.execute("UPDATE tenants SET sagas_in_flight = 1 WHERE tenant_id = $1", tenant.tenant_id)
    running, waiting = lead_request(tenant), lead_request(tenant)
    await system.sandbox.fault("anthropic.messages", match=running.request_id, delay_seconds=30.0)
    await system.upstream.ask(running, waiting)
    await system.upstream.outcome(waiting, "accepted")
    await _at(system, running, "generate_leads")


async def _at(system: RunningSystem, request: LeadRequested, step: str) -> None:
    await system.until_sql(
        "SELECT EXISTS (SELECT FROM sagas"
        " WHERE tenant_id = $1 AND request_id = $2 AND state ->> 'step' = $3)",
        *(request.tenant_id, request.request_id, step),
    )


async def _tool(system: RunningSystem, *arguments: str) -> None:
    await system.children.once(f"leadsaga-{arguments[0]}-{id(arguments)}", ["-m", "orchestrator", *arguments])


@asynccontextmanager
async def _listening(amqp_url: str, names: Names) -> AsyncIterator[list[dict[str, Any]]]:
    """Copies of what travels, the first few of each kind."""
    messages: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()

    def keep(what: str, body: dict[str, Any]) -> None:
        alike = json.dumps(
            [
                what,
                *(body.get(name) for name in ("type", "event", "step", "direction")),
                body.get("outcome", {}).get("kind"),
                sorted(body),
            ]
        )
        seen[alike] += 1
        if seen[alike] <= OF_A_KIND:
            messages.append({"what": what, "body": body})

    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for what, exchange, keys in _sources(names):
            queue = await channel.declare_queue(exclusive=True)
            for key in keys:
                await queue.bind(exchange, routing_key=key)

            async def hear(message: AbstractIncomingMessage, what: str = what) -> None:
                body = json.loads(message.body)
                for item in body.get("items", [body]):
                    keep(what, item)

            await queue.consume(hear, no_ack=True)
        yield messages


def _sources(names: Names) -> list[tuple[str, str, list[str]]]:
    queues = [queue for name in catalogue.names() for queue in catalogue.find(name).work()]
    return [
        ("request", names.requests_exchange, ["#"]),
        ("command", names.commands_exchange, queues),
        ("reply", names.replies_exchange, [REPLIES]),
        ("event", names.events_exchange, ["#"]),
    ]
