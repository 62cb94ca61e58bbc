"""Over the broker the tool is one more upstream service: what it sends arrives, what is answered it hears."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from contracts import events
from contracts.names import REQUESTS, Names, event_key
from contracts.process.topology import declare_engine, declare_exchanges
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from tests.integration.operate.conftest import Tool

ASK = ("request", "--tenant", "acme", "--leads", 5, "--criteria", "makers of bicycles", "--request-id", "r-1")


CANCEL = ("cancel", "r-1", "--reason", "enough", "--over-amqp")


@pytest.fixture
def broker(tool: Tool, monkeypatch: pytest.MonkeyPatch, amqp_url: str, queue_prefix: str) -> Tool:
    monkeypatch.setenv("LEADSAGA_AMQP_URL", amqp_url)
    monkeypatch.setenv("LEADSAGA_QUEUE_PREFIX", queue_prefix)
    return tool


@pytest.fixture
async def channel(amqp_url: str, queue_prefix: str) -> AsyncIterator[Any]:
    """The topology, as an orchestrator declares it."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as made:
        await declare_exchanges(made, Names(queue_prefix))
        await declare_engine(made, Names(queue_prefix))
        yield made


async def taken(channel: Any, queue_prefix: str) -> tuple[str, bytes]:
    queue = await channel.get_queue(Names(queue_prefix).queue(REQUESTS))
    async with asyncio.timeout(10), queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            return message.routing_key, message.body
    raise AssertionError("the queue was closed")


@asynccontextmanager
async def answering(channel: Any, prefix: str, *answers: events.Event) -> AsyncIterator[None]:
    """Takes one request, then tells these events."""

    async def answer() -> None:
        await taken(channel, prefix)
        exchange = await channel.get_exchange(Names(prefix).events_exchange)
        for event in answers:
            message = aio_pika.Message(event.model_dump_json().encode())
            key = event_key(event.tenant_id, event.event)
            await exchange.publish(message, routing_key=key, mandatory=False)

    task = asyncio.create_task(answer())
    yield
    await task


def common(**more: Any) -> dict[str, Any]:
    told = {"event_id": uuid4(), "tenant_id": "acme", "request_id": "r-1", "saga": "lead", "saga_id": uuid4()}
    return {**told, "at": datetime.now(UTC), **more}


async def test_a_request_arrives_as_an_upstream_service_would_send_it(
    channel: Any, broker: Tool, queue_prefix: str
) -> None:
    ran = await broker(*ASK, "--language", "de")
    assert (0, "r-1") == (ran.code, ran.out.strip())
    key, body = await taken(channel, queue_prefix)
    asked = LeadRequested(
        tenant_id="acme", request_id="r-1", criteria="makers of bicycles", leads=5, language="de"
    )
    assert ("acme.lead_requested", asked) == (key, LeadRequested.model_validate_json(body))


@pytest.mark.usefixtures("world", "operator")
async def test_a_refund_names_who_ordered_it(channel: Any, broker: Tool, queue_prefix: str) -> None:
    ran = await broker("refund", "r-1", "--tenant", "acme", "--leads", 2, "--reason", "bounced", "--json")
    key, body = await taken(channel, queue_prefix)
    refund = RefundRequested.model_validate_json(body)
    assert ("acme.refund_requested", "ann", 2) == (key, refund.requested_by, refund.leads)
    assert (refund.refund_id, "published") == (ran.json["refund_id"], ran.json["outcome"])


async def test_a_cancel_names_who_ordered_it(channel: Any, broker: Tool, queue_prefix: str) -> None:
    assert 0 == (await broker(*CANCEL, "--tenant", "acme")).code
    key, body = await taken(channel, queue_prefix)
    asked = CancelRequested(tenant_id="acme", request_id="r-1", reason="enough", requested_by="ann")
    assert ("acme.cancel_requested", asked) == (key, CancelRequested.model_validate_json(body))


async def test_who_waits_hears_the_outcome_of_the_own_request_only(
    channel: Any, broker: Tool, queue_prefix: str
) -> None:
    other = events.Failed(**common(request_id="r-2"), reason="another one's")
    mine = events.Completed(**common(), requested=5, delivered=4)
    async with answering(channel, queue_prefix, events.Accepted(**common()), other, mine):
        ran = await broker(*ASK, "--wait", 20, "--json")
    assert (0, "completed", 4) == (ran.code, ran.json["outcome"], ran.json["leads"])


async def test_a_refused_request_exits_1_with_the_reason(
    channel: Any, broker: Tool, queue_prefix: str
) -> None:
    refused = events.Refused(**common(saga_id=None), reason="there is no such tenant")
    async with answering(channel, queue_prefix, refused):
        ran = await broker(*ASK, "--wait", 20)
    assert (1, "r-1: refused: there is no such tenant") == (ran.code, ran.out.strip())


async def test_who_hears_nothing_in_time_exits_4_and_the_request_stays_sent(
    channel: Any, broker: Tool, queue_prefix: str
) -> None:
    ran = await broker(*ASK, "--wait", 0.1)
    assert (4, "") == (ran.code, ran.out)
    assert "acme.lead_requested" == (await taken(channel, queue_prefix))[0]


async def test_without_a_topology_the_tool_says_what_to_do(broker: Tool) -> None:
    for arguments in (ASK, (*ASK, "--wait", 5)):
        ran = await broker(*arguments)
        assert (69, True) == (ran.code, "orchestrator" in ran.err)
        assert 1 == len(ran.err.splitlines())


async def test_a_cancel_over_amqp_needs_a_tenant(broker: Tool) -> None:
    ran = await broker(*CANCEL)
    assert (2, True) == (ran.code, "--tenant" in ran.err)


async def test_a_broker_that_refuses_the_user_is_a_wrong_setting(
    broker: Tool, monkeypatch: pytest.MonkeyPatch, amqp_url: str
) -> None:
    host = amqp_url.rpartition("@")[2].removeprefix("amqp://")
    monkeypatch.setenv("LEADSAGA_AMQP_URL", f"amqp://nobody:s3cr3t@{host}")
    ran = await broker(*ASK)
    assert (78, "LEADSAGA_AMQP_URL: the broker refuses its user or password\n") == (ran.code, ran.err)


async def test_a_request_that_cannot_be_sound_is_not_sent(broker: Tool) -> None:
    ran = await broker("request", "--tenant", "Not a tenant", "--leads", 0, "--criteria", " ", "--json")
    assert 2 == ran.code
    assert all(word in ran.json["error"]["faults"][0] for word in ("tenant_id", "leads", "criteria"))
