"""The steps' side of the broker, on a real one: bundles in, answers out, nothing lost in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest

from contracts.bundle import alone, decode, encode
from contracts.messages import Command
from contracts.names import REPLIES
from contracts.process.consuming import consuming
from contracts.process.postgres import Database
from steps.runtime import observe
from steps.runtime.effects import NO_SAGA
from steps.runtime.single import MAX_STARTS, POISON, DatabaseAway
from steps.runtime.step import Single, Step
from tests.kit.commands import PROBE, PROBE_UNDO, BatchProbe, SingleProbe, command, stranger, undo
from tests.kit.tenants_at_work import TenantsAtWork
from tests.kit.wire import DEADLINE, CuttingPublisher, Wire, wired


@pytest.fixture
async def wire(amqp_url: str, queue_prefix: str, world: TenantsAtWork) -> AsyncIterator[Wire]:
    async with wired(amqp_url, queue_prefix, world) as wire:
        yield wire


async def commands_of(world: TenantsAtWork, *tenants: str) -> list[Command]:
    return [command(tenant, await world.saga(tenant)) for tenant in tenants]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_bundle_of_commands_becomes_a_bundle_of_replies(wire, world, probe):
    sent = await commands_of(world, "acme", "globex", "acme")
    async with wire.consumer(probe.step()):
        await wire.send(encode(sent))
        replies = await wire.replies()

    assert {each.saga_id: "done" for each in sent} == {each.saga_id: each.outcome.kind for each in replies}
    assert 0 == await wire.waiting(PROBE)


async def test_undo_commands_have_their_own_queue_and_answer_there_too(wire, world, probe):
    [done] = await commands_of(world, "acme")
    async with wire.consumer(probe.step()):
        await wire.send(encode([done]))
        await wire.replies()
        await wire.send(encode([undo(done)]), PROBE_UNDO)
        [reply] = await wire.replies()

    assert ("undo", "done") == (reply.direction, reply.outcome.kind)


async def test_malformed_items_go_to_the_dead_letters_with_their_reason_and_stop_no_neighbour(
    wire, world, probe
):
    [sound] = await commands_of(world, "acme")
    items = [{"v": 1}, json.loads(sound.model_dump_json()), "no object"]
    async with wire.consumer(probe.step()):
        await wire.send(json.dumps({"v": 1, "items": items}).encode())
        replies = await wire.replies()
        letters = [await wire.letter() for _ in range(2)]

    assert [sound.saga_id] == [reply.saga_id for reply in replies]
    reasons = {alone(b'{"v": 1}'): "Field required", alone(b'"no object"'): "Input should be an object"}
    assert set(reasons) == {letter.body for letter in letters}
    assert all(reasons[letter.body] in str(letter.headers["reason"]) for letter in letters)
    assert {("Malformed", PROBE, PROBE)} == {
        tuple(letter.headers[name] for name in ("error", "queue", "routing-key")) for letter in letters
    }
    assert 2 == len({letter.message_id for letter in letters})


@pytest.mark.parametrize("body", [b"\x00not json", b"[]", b'{"v":7,"items":[]}', b"", b"[" * 100_000])
async def test_a_message_that_is_no_bundle_is_a_dead_letter_with_its_exact_bytes(wire, world, probe, body):
    [sound] = await commands_of(world, "acme")
    async with wire.consumer(probe.step()):
        await wire.send(body)
        await wire.send(encode([sound]))
        replies = await wire.replies()
        letter = await wire.letter()

    assert [sound.saga_id] == [reply.saga_id for reply in replies]
    assert body == letter.body
    assert letter.headers["reason"]


async def test_commands_of_another_queue_are_refused_and_their_neighbours_done(wire, world, probe):
    mine, elsewhere, wrong_way = await commands_of(world, "acme", "acme", "acme")
    elsewhere = elsewhere.model_copy(update={"step": "record_usage"})
    async with wire.consumer(probe.step()):
        await wire.send(encode([elsewhere, mine, undo(wrong_way)]))
        replies = await wire.replies()
        letters = [await wire.letter() for _ in range(2)]

    assert [mine.saga_id] == [reply.saga_id for reply in replies]
    assert [mine] == probe.ran
    assert {("WrongQueue", "a command of another queue arrived in reserve_quota")} == {
        (letter.headers["error"], letter.headers["reason"]) for letter in letters
    }
    assert [elsewhere, undo(wrong_way)] == [decode(letter.body, Command)[0] for letter in letters]


async def test_a_command_for_a_foreign_saga_is_a_dead_letter_with_its_reason(wire, world, probe):
    foreign = command("globex", (await commands_of(world, "acme"))[0].saga_id)
    async with wire.consumer(probe.step()):
        await wire.send(encode([foreign, command("acme", stranger())]))
        letters = [await wire.letter() for _ in range(2)]

    assert {("NoSaga", NO_SAGA)} == {
        (letter.headers["error"], letter.headers["reason"]) for letter in letters
    }
    assert {foreign.tenant_id, "acme"} == {decode(letter.body, Command)[0].tenant_id for letter in letters}


@pytest.mark.parametrize("lost", ["channel", "connection"])
async def test_what_is_lost_between_reply_and_ack_repeats_the_answer_and_does_nothing_twice(
    wire, world, probe, lost
):
    [sent] = await commands_of(world, "acme")
    cutting = CuttingPublisher(wire.publisher, wire.lose_channels if lost == "channel" else wire.proxy.cut)
    async with wire.consumer(probe.step(), cutting):
        await wire.send(encode([sent]))
        first, second = await wire.replies(), await wire.replies()
        await until(lambda: consuming(wire.brokers[-1]))

    assert (1, [sent]) == (cutting.cuts, probe.ran)
    assert first == second
    assert 0 == await wire.waiting(PROBE)


async def test_a_reply_that_no_queue_takes_is_published_until_one_does(wire, world, probe):
    [sent] = await commands_of(world, "acme")
    failures = observe.PUBLISH_FAILURES.labels(PROBE)
    before = failures._value.get()
    async with wire.consumer(probe.step()):
        replies = await wire.channel.get_queue(wire.names.queue(REPLIES))
        await replies.unbind(wire.names.replies_exchange, REPLIES)
        await wire.send(encode([sent]))
        await until(lambda: failures._value.get() >= before + 2)
        await replies.bind(wire.names.replies_exchange, REPLIES)
        [reply] = await wire.replies()

    assert (sent.saga_id, "done") == (reply.saga_id, reply.outcome.kind)
    assert [sent] == probe.ran
    assert 0 == await wire.waiting(PROBE)


async def test_a_consumer_that_stops_before_it_could_reply_leaves_the_command_to_the_next(wire, world, probe):
    [sent] = await commands_of(world, "acme")
    failures = observe.PUBLISH_FAILURES.labels(PROBE)
    before = failures._value.get()
    async with wire.consumer(probe.step()):
        replies = await wire.channel.get_queue(wire.names.queue(REPLIES))
        await replies.unbind(wire.names.replies_exchange, REPLIES)
        await wire.send(encode([sent]))
        await until(lambda: failures._value.get() > before)
    async with wire.consumer(BatchProbe().step()):  # declares the binding again
        [reply] = await wire.replies()

    assert (sent.saga_id, "done") == (reply.saga_id, reply.outcome.kind)
    assert 1 == await world.admin.fetchval("SELECT count(*) FROM leads")


async def test_events_arrive_before_the_reply_that_counts_on_them(wire, world, probe):
    sent = await commands_of(world, "acme", "globex")
    both = await wire.channel.declare_queue(exclusive=True)
    async with wire.consumer(probe.step()):
        await both.bind(wire.names.events_exchange, "#")
        await both.bind(wire.names.replies_exchange, REPLIES)
        await wire.send(encode(sent))
        keys = []
        async with asyncio.timeout(DEADLINE), both.iterator() as messages:
            async for message in messages:
                await message.ack()
                keys.append(message.routing_key)
                if len(keys) == 3:
                    break

    assert ["acme.failed", "globex.failed"] == sorted(keys[:2])
    assert REPLIES == keys[2]


async def test_a_vendor_step_answers_each_of_its_commands_while_a_slow_one_runs(wire, world):
    slow, quick = await commands_of(world, "acme", "globex")
    waiting = SingleProbe(gate=asyncio.Event())
    quicker = SingleProbe()

    async def run(each: Command, at: Any) -> Any:
        return await (waiting if each == slow else quicker).run(each, at)

    step = Step(name=PROBE, do=Single(run=run))
    async with wire.consumer(step):
        await wire.send(encode([slow]))
        await asyncio.wait_for(waiting.called.wait(), DEADLINE)
        await wire.send(encode([quick]))
        [first] = await wire.replies()
        assert waiting.gate
        waiting.gate.set()
        [second] = await wire.replies()

    assert [quick.saga_id, slow.saga_id] == [first.saga_id, second.saga_id]


async def test_a_command_that_always_ends_its_consumer_is_dead_lettered_and_its_bundle_goes_on(
    wire, world, probe, monkeypatch
):
    # Who dies does not take its mark back, as one does that merely lost its channel.
    monkeypatch.setattr("steps.runtime.suspect.interrupted", AsyncMock())
    before, culprit, after = sent = await commands_of(world, "acme", "acme", "globex")

    async def end(_: object) -> None:
        await wire.lose_channels()
        await asyncio.Event().wait()  # until the loss of the channel cancels the handler

    probe.script[culprit.saga_id] = end
    async with wire.consumer(probe.step()):
        await wire.send(encode(sent))
        letter, replies = await wire.letter(), await wire.replies()

    assert ("Poison", POISON) == (letter.headers["error"], letter.headers["reason"])
    assert [culprit] == decode(letter.body, Command)
    assert {before.saga_id, after.saga_id} == {reply.saga_id for reply in replies}
    assert 2 == await world.admin.fetchval("SELECT count(*) FROM leads")


async def test_a_command_whose_checkpoints_lose_the_database_again_and_again_is_no_poison(
    wire, world, monkeypatch
):
    [sent] = await commands_of(world, "acme")
    probe, flaps = SingleProbe(), [DatabaseAway() for _ in range(MAX_STARTS + 1)]

    async def run(each: Command, at: Any) -> Any:
        if flaps:
            raise flaps.pop()
        return await probe.run(each, at)

    monkeypatch.setattr("steps.runtime.consume.PAUSE", 0.01)
    async with wire.consumer(Step(name=PROBE, do=Single(run=run))):
        await wire.send(encode([sent]))
        [reply] = await wire.replies()

    assert ("done", [], 1) == (reply.outcome.kind, flaps, probe.calls)


@pytest.mark.parametrize("kind", ["batch", "single"])
async def test_a_database_that_is_unlucky_or_away_delays_a_command_and_loses_nothing(
    wire, world, probe, kind, monkeypatch
):
    [sent] = await commands_of(world, "acme")
    troubles = [asyncpg.DeadlockDetectedError(), ConnectionResetError(), asyncpg.DiskFullError()]
    sound = Database.transaction

    def unlucky(self: Database, *args: Any, **others: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return sound(self, *args, **others)

    step = probe.step() if kind == "batch" else Step(name=PROBE, do=SingleProbe().do())
    monkeypatch.setattr(Database, "transaction", unlucky)
    async with wire.consumer(step):
        await wire.send(encode([sent]))
        [reply] = await wire.replies()

    assert ("done", []) == (reply.outcome.kind, troubles)
