"""An attempt that calls an outside world: its writes are fenced, and its answers stay true."""

import asyncio

import pytest

from contracts.errors import StepRejected, StepTransient, StepUnknown
from contracts.messages import Command
from contracts.outcomes import Done, Rejected, Transient, Unknown
from steps.runtime.batch import Answers, run_batch
from steps.runtime.effects import NO_SAGA
from steps.runtime.single import MAX_STARTS, POISON, run_single
from steps.runtime.step import Attempt, Batch, Fenced, Single
from tests.kit.attempts import DEADLINE, begun, drafts, row, take
from tests.kit.commands import BatchProbe, SingleProbe, attempt, command, stranger, undo
from tests.kit.tenants_at_work import TenantsAtWork


@pytest.fixture
async def acme(world: TenantsAtWork) -> Command:
    return command("acme", await world.saga("acme"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Done(facts={"n": 1}), Done(facts={"n": 1})),
        (Rejected(reason="no"), Rejected(reason="no")),
        (StepRejected("no", error="Refused"), Rejected(reason="no", error="Refused")),
        (
            StepTransient("busy", retry_after=7, progress=True),
            Transient(reason="busy", error="StepTransient", retry_after=7, progress=True),
        ),
        (StepTransient("busy", retry_after=-1), Transient(reason="busy", error="StepTransient")),
        (StepUnknown("lost", error="Cut"), Unknown(reason="lost", error="Cut")),
        (OSError("secret"), Unknown(reason="the step failed unexpectedly", error="OSError")),
        (TimeoutError(), Unknown(reason="the step failed unexpectedly", error="TimeoutError")),
        (StepUnknown("x" * 3000), Unknown(reason="x" * 2000, error="StepUnknown")),
    ],
)
async def test_what_an_attempt_returns_or_raises_becomes_its_answer_and_stays_it(
    world, acme, given, expected
):
    probe = SingleProbe(outcome=given)
    [reply] = (await take(world, probe, acme)).replies
    repeated = await take(world, SingleProbe(), acme, redelivered=True)

    assert expected == reply.outcome
    assert [reply] == repeated.replies
    assert 1 == await drafts(world)


async def test_ids_of_the_outside_world_are_kept_with_the_checkpoint(world, acme):
    await take(world, SingleProbe(), acme)
    assert ('{"vendor_id": "v1"}', "done", 1) == await row(world, "outside", "state", "answered")


async def test_an_attempt_over_its_time_is_answered_unknown_and_that_is_committed(world, acme):
    probe = SingleProbe(gate=asyncio.Event())
    hurried = acme.model_copy(update={"timeout": 0.2})
    [reply] = (await take(world, probe, hurried)).replies

    assert Unknown(reason="no result within 0.2 s", error="TimedOut") == reply.outcome
    assert ("open", 1) == await row(world, "state", "answered")
    assert 0 == await drafts(world)


async def test_an_attempt_that_is_undone_meanwhile_writes_nothing_more_and_says_nothing(world, acme):
    probe, undoing = SingleProbe(), BatchProbe().step().undo
    assert isinstance(undoing, Batch)
    running = await begun(world, probe, acme)
    [undone] = (await run_batch(world.memory, undoing, [undo(acme)])).replies
    assert probe.gate
    probe.gate.set()
    answers = await asyncio.wait_for(running, DEADLINE)

    assert "done" == undone.outcome.kind
    assert Answers() == answers
    assert [Fenced] == [type(error) for error in probe.raised]
    assert 0 == await drafts(world)
    assert ("undone", 0) == await row(world, "state", "answered")


async def test_an_attempt_that_returns_after_its_undo_is_answered_as_undone(world, acme):
    """Its outside call may have had an effect; the undo came later and knows that it was asked for."""
    gate, called = asyncio.Event(), asyncio.Event()

    async def no_checkpoint(_: Command, __: Attempt) -> Done:
        called.set()
        await gate.wait()
        return Done()

    single = Single(run=no_checkpoint)
    running = asyncio.create_task(run_single(world.memory, single, None, acme, redelivered=False))
    await asyncio.wait_for(called.wait(), DEADLINE)
    undoing = BatchProbe().step().undo
    assert isinstance(undoing, Batch)
    await run_batch(world.memory, undoing, [undo(acme)])
    gate.set()
    [reply] = (await asyncio.wait_for(running, DEADLINE)).replies

    assert Rejected(reason="the step was undone before this attempt arrived", error="Undone") == reply.outcome
    assert ("undone", 0) == await row(world, "state", "answered")


async def test_a_later_attempt_takes_over_and_the_earlier_one_is_fenced(world, acme):
    first, second = SingleProbe(), SingleProbe(outcome=Done(facts={"by": "second"}))
    running = await begun(world, first, acme)
    [reply] = (await take(world, second, attempt(acme, 2))).replies
    assert first.gate
    first.gate.set()
    answers = await asyncio.wait_for(running, DEADLINE)

    assert (2, "done") == (reply.attempt, reply.outcome.kind)
    assert Answers() == answers
    assert 1 == await drafts(world)


async def test_a_copy_that_is_sent_while_its_attempt_runs_is_not_answered_and_runs_nothing(world, acme):
    probe, copy = SingleProbe(), SingleProbe()
    running = await begun(world, probe, acme)
    assert Answers() == await take(world, copy, acme)
    assert probe.gate
    probe.gate.set()
    [reply] = (await asyncio.wait_for(running, DEADLINE)).replies

    assert ("done", 0) == (reply.outcome.kind, copy.calls)
    assert ("done", 1) == await row(world, "state", "starts")


async def test_a_copy_sent_after_the_time_of_a_lost_attempt_runs(world, acme):
    running = await begun(world, SingleProbe(), acme)
    await world.admin.execute("UPDATE effects SET started_at = now() - interval '11 seconds'")
    probe = SingleProbe()
    [reply] = (await take(world, probe, acme)).replies

    assert ("done", 1) == (reply.outcome.kind, probe.calls)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_redelivered_command_runs_for_its_process_died(world, acme):
    running = await begun(world, SingleProbe(), acme)
    [reply] = (
        await take(world, SingleProbe(outcome=Done(facts={"by": "next"})), acme, redelivered=True)
    ).replies

    assert Done(facts={"by": "next"}) == reply.outcome
    assert 2 == (await row(world, "starts"))[0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_killed_its_process_three_times_is_dead_lettered_and_not_run_again(world, acme):
    class Killed(BaseException):
        """Stands for the end of the process: nothing of it is handled or cleaned up."""

    async def kill(_: Command, __: Attempt) -> Done:
        raise Killed

    for _ in range(MAX_STARTS):
        with pytest.raises(Killed):
            await run_single(world.memory, Single(run=kill), None, acme, redelivered=True)
    probe = SingleProbe()
    answers = await take(world, probe, acme, redelivered=True)

    assert ([(acme, POISON)], [], 0) == (answers.dead, answers.replies, probe.calls)
    [reply] = (await take(world, probe, attempt(acme, 2))).replies
    assert (2, "done") == (reply.attempt, reply.outcome.kind), "a replayed one has its own count"


async def test_an_orderly_stop_is_not_counted_as_a_death(world, acme):
    for _ in range(MAX_STARTS + 1):
        probe = SingleProbe()
        running = await begun(world, probe, acme)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (0, None) == await row(world, "starts", "started_at")
    [reply] = (await take(world, SingleProbe(), acme)).replies
    assert "done" == reply.outcome.kind


@pytest.mark.parametrize("foreign", [True, False])
async def test_a_saga_of_somebody_else_is_dead_and_nothing_is_called(world, foreign):
    saga_id = await world.saga("globex") if foreign else stranger()
    probe, each = SingleProbe(), command("acme", saga_id)
    answers = await take(world, probe, each)

    assert ([(each, NO_SAGA)], 0) == (answers.dead, probe.calls)
    assert 0 == await world.admin.fetchval("SELECT count(*) FROM effects")


async def test_a_connection_cut_at_a_checkpoint_spends_no_attempt_and_the_next_run_answers(world, acme):
    async def cut(each: Command, at: Attempt) -> Done:
        async with at.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await world.admin.execute("SELECT pg_terminate_backend($1)", pid)
            await connection.execute("SELECT 1")
        return Done()

    with pytest.raises(ConnectionError):
        await run_single(world.memory, Single(run=cut), None, acme, redelivered=False)
    assert ("open", 0) == await row(world, "state", "answered")
    [reply] = (await take(world, SingleProbe(), acme, redelivered=True)).replies
    assert "done" == reply.outcome.kind
    assert 1 == await drafts(world)
