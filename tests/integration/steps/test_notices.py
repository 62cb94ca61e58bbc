"""Notices against a real Postgres: together, at most once, and never in the way of a saga."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from contracts.errors import StepRejected, StepTransient, StepUnknown
from contracts.events import Failed, Parked
from contracts.facts import UsageRecorded, UsageRefunded
from contracts.messages import Command
from steps.clients.discord import BadWebhook, WebhookGone
from steps.notices.send import tell_tenant
from steps.notify_discord import STEP, heard
from tests.kit.stand_ins import FakeDiscord, FakeWorker
from tests.kit.tenants_at_work import TenantsAtWork

URL = "https://discord.com/api/webhooks/1/secret"


@pytest.fixture
def discord() -> FakeDiscord:
    return FakeDiscord()


@pytest.fixture
def worker(world: TenantsAtWork, discord: FakeDiscord) -> FakeWorker:
    return FakeWorker(world.database, discord)


async def delivered(world: TenantsAtWork, criteria: str = "makers of bicycles") -> Command:
    saga_id = await world.saga("acme")
    fact = UsageRecorded(leads=3, ledger_id=uuid4())
    request = {"tenant_id": "acme", "request_id": "r-1", "criteria": criteria, "leads": 5}
    return _command(saga_id, "lead", request, fact)


async def refunded(world: TenantsAtWork) -> Command:
    saga_id = await world.saga("acme", "refund")
    fact = UsageRefunded(leads=2, ledger_id=uuid4(), original_id=uuid4())
    request = {"tenant_id": "acme", "refund_id": "f-1", "request_id": "r-1", "reason": "bounced"}
    return _command(saga_id, "refund", request, fact)


def _command(saga_id, saga, request, fact) -> Command:
    return Command(
        tenant_id="acme", saga_id=saga_id, saga=saga, request_id=request["request_id"], step=STEP.name,
        direction="do", attempt=1, last=False, timeout=10, request=request,
        facts={fact.STEP: fact.model_dump(mode="json")},
    )  # fmt: skip


async def told(world: TenantsAtWork, count: int = 1) -> None:
    await world.tenant("acme", webhook=URL)
    await world.take(STEP, *[await delivered(world) for _ in range(count)])


async def test_the_saga_is_answered_at_once_and_the_notice_waits_for_its_interval(world, discord):
    await world.tenant("acme", webhook=URL)
    command = await delivered(world)
    [reply] = await world.take(STEP, command)
    [repeated] = await world.take(STEP, command)

    assert (reply.outcome.kind, reply) == ("done", repeated)
    assert await world.states("notices", "acme") == ["waiting"]
    assert 5 < await world.due_in("acme") <= 10
    assert discord.posts == []


async def test_waiting_notices_go_out_together_ten_a_message_and_one_message_a_visit(world, discord, worker):
    await told(world, 12)
    await tell_tenant(worker, "acme")
    assert 5 < await world.due_in("acme") <= 10
    await tell_tenant(worker, "acme")

    assert [(URL, 10), (URL, 2)] == [(url, len(embeds)) for url, embeds in discord.posts]
    assert await world.states("notices", "acme") == ["sent"] * 12
    assert await world.due_in("acme") is None


async def test_deliveries_and_refunds_are_told_with_their_numbers(world, discord, worker):
    await world.tenant("acme", webhook=URL)
    await world.take(STEP, await delivered(world))
    await world.take(STEP, await refunded(world))
    await tell_tenant(worker, "acme")
    [(_, embeds)] = discord.posts
    assert [embed["title"] for embed in embeds] == ["3 leads delivered", "2 leads refunded"]
    assert "3 of 5" in embeds[0]["description"]


async def test_what_tenants_wrote_mentions_nobody(world, discord, worker):
    await world.tenant("acme", webhook=URL)
    await world.take(STEP, await delivered(world, criteria="@everyone [click](https://evil.example) " * 40))
    await tell_tenant(worker, "acme")
    [(_, [embed])] = discord.posts
    assert "@everyone" not in embed["description"]
    assert "](https://" not in embed["description"]


@pytest.mark.parametrize("kind", [Failed, Parked])
async def test_failed_and_parked_requests_are_told_of_once(world, discord, worker, kind):
    await world.tenant("acme", webhook=URL)
    more = {"step": "report_to_stripe"} if kind is Parked else {}
    event = kind(
        event_id=uuid4(), tenant_id="acme", request_id="r-1", saga="lead", reason="the model is away",
        saga_id=await world.saga("acme"), at=datetime.now(UTC), **more,
    )  # fmt: skip
    for _ in range(2):
        async with world.database.transaction("acme") as connection:
            await heard(connection, event)
    await tell_tenant(worker, "acme")
    [(_, embeds)] = discord.posts
    assert len(embeds) == 1


async def test_what_surely_was_not_sent_waits_as_long_as_discord_asked(world, discord, worker):
    await told(world)
    discord.failures = [("before", StepTransient("slow down", retry_after=45.0))]
    await tell_tenant(worker, "acme")
    await world.take(STEP, await delivered(world))
    await tell_tenant(worker, "acme")

    assert discord.posts == []
    assert 40 < await world.due_in("acme") <= 45
    await world.hurry()
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["sent", "sent"]


@pytest.mark.parametrize("failure", [StepUnknown("no answer"), ValueError("a bug")])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_may_have_been_sent_is_not_repeated(world, discord, worker, when, failure):
    await told(world)
    discord.failures = [(when, failure)]
    for _ in range(2):
        await tell_tenant(worker, "acme")
        await world.hurry()
    assert await world.states("notices", "acme") == ["unknown"]
    assert len(discord.posts) == (1 if when == "after" else 0)


async def test_a_call_that_another_process_makes_is_left_alone_until_its_time_is_over(world, discord, worker):
    await told(world)
    discord.gate = asyncio.Event()
    task = asyncio.create_task(tell_tenant(worker, "acme"))
    async with asyncio.timeout(10):
        await discord.called.wait()
    await world.take(STEP, await delivered(world))
    other = FakeWorker(world.database, FakeDiscord())
    await tell_tenant(other, "acme")
    assert other.client.posts == []
    assert await world.states("notices", "acme") == ["sending", "waiting"]

    discord.gate.set()
    await task
    await tell_tenant(other, "acme")
    assert await world.states("notices", "acme") == ["sent", "sent"]


async def test_what_a_process_that_is_gone_was_sending_counts_as_perhaps_sent(world, discord, worker):
    await told(world)
    discord.failures = [("before", asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await tell_tenant(worker, "acme")
    await world.hurry()
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["unknown"]
    assert await world.due_in("acme") is None


async def test_many_senders_at_once_send_each_notice_once(world, discord):
    await told(world, 30)
    workers = [FakeWorker(world.database, discord) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(tell_tenant(worker, "acme") for worker in workers))
    assert sum(len(embeds) for _, embeds in discord.posts) == 30


@pytest.mark.parametrize("failure", [WebhookGone("unknown webhook"), BadWebhook("not a webhook")])
async def test_a_webhook_that_is_gone_is_disabled_and_called_no_more(world, discord, worker, failure):
    await told(world, 11)
    discord.failures = [("before", failure)]
    await tell_tenant(worker, "acme")
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["no_webhook"] * 11
    assert discord.posts == []
    reason = await world.admin.fetchval("SELECT disabled_reason FROM discord_webhooks")
    assert type(failure).__name__ in reason


async def test_a_refused_message_is_given_up(world, discord, worker):
    await told(world)
    discord.failures = [("before", StepRejected("too long"))]
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["given_up"]


async def test_what_could_not_be_sent_for_a_day_is_given_up(world, discord, worker):
    await told(world)
    await world.admin.execute("UPDATE notices SET created_at = now() - interval '24 hours 1 minute'")
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["given_up"]
    assert discord.posts == []


async def test_a_tenant_without_a_webhook_is_told_nothing(world, discord, worker):
    await world.tenant("acme")
    await world.take(STEP, await delivered(world))
    await tell_tenant(worker, "acme")
    assert await world.states("notices", "acme") == ["no_webhook"]
    assert await world.due_in("acme") is None
