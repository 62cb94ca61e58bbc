"""One attempt that is run more than once: the latest run alone writes and answers."""

import asyncio
from typing import Any

import asyncpg
import pytest

from contracts.bundle import encode
from contracts.messages import Command
from contracts.outcomes import Done, Rejected, Unknown
from contracts.process import crash
from contracts.process.postgres import Database
from steps.runtime.batch import Answers
from steps.runtime.single import MAX_STARTS, DatabaseAway, run_single
from steps.runtime.step import Attempt, Fenced, Single, Step
from tests.kit.attempts import DEADLINE, begun, drafts, row, take
from tests.kit.commands import PROBE, SingleProbe, command
from tests.kit.tenants_at_work import TenantsAtWork
from tests.kit.wire import wired


@pytest.fixture
async def acme(world: TenantsAtWork) -> Command:
    return command("acme", await world.saga("acme"))


async def test_a_run_that_a_later_one_of_the_same_attempt_took_over_is_fenced_at_its_checkpoint(world, acme):
    first, second = SingleProbe(), SingleProbe()
    running = await begun(world, first, acme)
    taking_over = await begun(world, second, acme, redelivered=True)
    assert first.gate
    first.gate.set()
    silent = await asyncio.wait_for(running, DEADLINE)
    none_yet = await drafts(world)
    assert second.gate
    second.gate.set()
    [reply] = (await asyncio.wait_for(taking_over, DEADLINE)).replies

    assert (Answers(), 0, [Fenced]) == (silent, none_yet, [type(error) for error in first.raised])
    assert ("done", 1) == (reply.outcome.kind, await drafts(world))


async def test_a_run_that_was_taken_over_does_not_answer_for_the_later_one(world, acme):
    gate, called = asyncio.Event(), asyncio.Event()

    async def no_checkpoint(_: Command, __: Attempt) -> Rejected:
        called.set()
        await gate.wait()
        return Rejected(reason="no")

    first = run_single(world.memory, Single(run=no_checkpoint), None, acme, redelivered=False)
    running = asyncio.create_task(first)
    await asyncio.wait_for(called.wait(), DEADLINE)
    second = SingleProbe()
    taking_over = await begun(world, second, acme, redelivered=True)
    gate.set()
    silent = await asyncio.wait_for(running, DEADLINE)
    assert second.gate
    second.gate.set()
    [reply] = (await asyncio.wait_for(taking_over, DEADLINE)).replies

    assert (Answers(), "done") == (silent, reply.outcome.kind)


async def test_an_orderly_stop_of_a_run_that_was_taken_over_leaves_the_later_one_on_record(world, acme):
    running = await begun(world, SingleProbe(), acme)
    later = SingleProbe()
    taking_over = await begun(world, later, acme, redelivered=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    copy = SingleProbe()

    assert (Answers(), 0) == (await take(world, copy, acme), copy.calls)
    assert later.gate
    later.gate.set()
    [reply] = (await asyncio.wait_for(taking_over, DEADLINE)).replies
    assert "done" == reply.outcome.kind


async def test_a_database_that_goes_away_often_is_no_sign_of_poison_and_leaves_a_refusal_in_doubt(
    world, acme
):
    """The same process goes on with what it had begun; that had perhaps had an effect."""

    async def away(_: Command, __: Attempt) -> Done:
        raise DatabaseAway

    for number in range(MAX_STARTS + 2):
        with pytest.raises(DatabaseAway):
            await run_single(
                world.memory, Single(run=away), None, acme, redelivered=False, resumed=number > 0
            )
    assert (1,) == await row(world, "starts")
    refusing = SingleProbe(outcome=Rejected(reason="no"))
    answers = await run_single(world.memory, refusing.do(), None, acme, redelivered=False, resumed=True)

    assert [Unknown(reason="no", error="Rejected")] == [reply.outcome for reply in answers.replies]
    assert [] == answers.dead


@pytest.mark.parametrize("trouble", [ConnectionResetError(), asyncpg.DeadlockDetectedError()])
async def test_a_copy_that_could_not_begin_for_the_databases_sake_does_not_take_over(
    world, acme, amqp_url, queue_prefix, monkeypatch, trouble
):
    """The orchestrator has sent the command again; its first copy is well, and runs."""
    first, copy = SingleProbe(), SingleProbe()
    running = await begun(world, first, acme)
    troubles, sound = [trouble], Database.transaction

    def unlucky(self: Database, *args: Any, name: str | None = None, **others: Any) -> Any:
        if name == "single.begin" and troubles:
            raise troubles.pop()
        return sound(self, *args, name=name, **others)

    monkeypatch.setattr(Database, "transaction", unlucky)
    async with (
        wired(amqp_url, queue_prefix, world) as wire,
        wire.consumer(Step(name=PROBE, do=copy.do())) as consumer,
    ):
        await wire.send(encode([acme]))
        await asyncio.wait_for(consumer.taken.wait(), DEADLINE)
    assert first.gate
    first.gate.set()
    [reply] = (await asyncio.wait_for(running, DEADLINE)).replies

    assert ([], 0, "done") == (troubles, copy.calls, reply.outcome.kind)


async def test_a_beginning_of_which_nobody_knows_whether_it_was_committed_is_resumed(
    world, acme, amqp_url, queue_prefix, monkeypatch
):
    """Else the attempt would be taken for one that runs, and be left to nobody."""
    probe, cuts, commit = SingleProbe(), [ConnectionResetError()], crash.point

    def cut(name: str | None, moment: str) -> None:
        commit(name, moment)
        if (name, moment) == ("single.begin", "committed") and cuts:
            raise cuts.pop()

    monkeypatch.setattr(crash, "point", cut)
    async with (
        wired(amqp_url, queue_prefix, world) as wire,
        wire.consumer(Step(name=PROBE, do=probe.do())),
    ):
        await wire.send(encode([acme]))
        [reply] = await wire.replies()

    assert ([], 1, "done") == (cuts, probe.calls, reply.outcome.kind)
    assert (1,) == await row(world, "starts")
