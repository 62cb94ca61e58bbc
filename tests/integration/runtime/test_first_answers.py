"""Nobody locks anything for a first answer. Whether it is the first, the row that is made with it decides."""

import asyncio
from typing import Any

import pytest

from contracts.errors import StepTransient
from contracts.messages import Command, Reply
from contracts.outcomes import Done
from steps.runtime.batch import run_alone, run_batch
from steps.runtime.effects import NotFirst
from steps.runtime.step import Batch, Connection
from tests.kit.commands import BatchProbe, add_drafts, command, undo
from tests.kit.sandbox import until
from tests.kit.tenants_at_work import TenantsAtWork

PATIENCE = 10.0


@pytest.fixture
async def acme(world: TenantsAtWork) -> Command:
    return command("acme", await world.saga("acme"))


async def drafts(world: TenantsAtWork) -> int:
    return int(await world.admin.fetchval("SELECT count(*) FROM leads"))


async def until_somebody_waits(world: TenantsAtWork) -> None:
    """For a row of another transaction."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def so() -> bool:
        return bool(await world.admin.fetchval(waiting))

    await until(so, PATIENCE)


def holding(at: asyncio.Event, gate: asyncio.Event) -> Any:
    """It has done its work, and has not answered yet."""

    async def hold(_: Connection) -> None:
        at.set()
        await gate.wait()

    return hold


async def test_of_two_who_do_it_at_once_one_has_an_effect_and_both_say_the_same(world, acme):
    both_have_done_it, probes = asyncio.Barrier(2), [BatchProbe(), BatchProbe()]

    async def meet(_: Connection) -> None:
        if len(probes[0].ran) + len(probes[1].ran) <= 2:  # and not when one does it again
            await both_have_done_it.wait()

    for probe in probes:
        probe.script[acme.saga_id] = meet
    one, two = await asyncio.gather(
        *(run_batch(world.memory, probe.do(), [acme], fresh=True) for probe in probes)
    )

    assert one.replies == two.replies
    assert ["done"] == [reply.outcome.kind for reply in one.replies]
    assert 1 == await drafts(world)


async def test_a_run_that_outlives_its_time_cannot_commit_once_its_failure_is_answered(world, acme):
    probe = BatchProbe(script={acme.saga_id: StepTransient("not done in time", error="TimedOut")})
    replies = list[Reply]()

    async def outlive() -> None:
        async with world.memory.transaction("acme") as late:
            await add_drafts(late.connection, acme.saga_id, 1)
            replies.extend((await run_batch(world.memory, probe.do(), [acme], fresh=True)).replies)
            await late.save_first([(acme, Done())])

    with pytest.raises(NotFirst):
        await outlive()
    again = await run_batch(world.memory, BatchProbe().do(), [acme])
    assert ["TimedOut"] == [reply.outcome.error for reply in replies]
    assert replies == again.replies
    assert 0 == await drafts(world)


async def test_a_failure_waits_for_a_run_that_has_answered_and_says_what_that_has_done(world, acme):
    probe = BatchProbe(script={acme.saga_id: StepTransient("not done in time", error="TimedOut")})
    async with world.memory.transaction("acme") as late:
        await add_drafts(late.connection, acme.saga_id, 1)
        await late.save_first([(acme, Done())])
        failing = asyncio.create_task(run_alone(world.memory, probe.do(), acme, first=True))
        await until_somebody_waits(world)
        assert not failing.done()

    assert [Done()] == [reply.outcome for reply in (await failing).replies]
    assert 1 == await drafts(world)


async def test_what_is_undone_before_it_has_answered_has_not_happened(world, acme):
    at, gate, probe = asyncio.Event(), asyncio.Event(), BatchProbe()
    undoing = probe.step().undo
    assert isinstance(undoing, Batch)
    probe.script[acme.saga_id] = holding(at, gate)
    doing = asyncio.create_task(run_batch(world.memory, probe.do(), [acme], fresh=True))
    await at.wait()
    [undone] = (await run_batch(world.memory, undoing, [undo(acme)], fresh=True)).replies
    gate.set()

    assert ("undo", "done") == (undone.direction, undone.outcome.kind)
    assert ["Undone"] == [reply.outcome.error for reply in (await doing).replies]
    assert 0 == await drafts(world)


async def test_who_was_locked_out_at_first_runs_once_the_other_has_given_up(world, acme):
    probe = BatchProbe()

    async def give_up() -> None:
        async with world.memory.transaction("acme") as effects:
            await effects.lock([acme])
            run = asyncio.create_task(run_batch(world.memory, probe.do(), [acme], fresh=True))
            await until_somebody_waits(world)
            tasks.append(run)
            raise ZeroDivisionError

    tasks = list[asyncio.Task[Any]]()
    with pytest.raises(ZeroDivisionError):
        await give_up()
    answers = await tasks[0]
    assert ["done"] == [reply.outcome.kind for reply in answers.replies]
    assert ([acme], 1) == (probe.ran, await drafts(world))


async def test_a_bad_command_among_first_ones_fails_alone(world):
    commands = [command(tenant, await world.saga(tenant)) for tenant in ("acme", "globex", "acme")]
    foreign = command("globex", commands[0].saga_id)
    probe = BatchProbe(script={commands[1].saga_id: KeyError("secret")})
    answers = await run_batch(world.memory, probe.do(), [*commands, foreign], fresh=True)
    kinds = {reply.saga_id: reply.outcome.kind for reply in answers.replies}

    assert ["done", "transient", "done"] == [kinds[each.saga_id] for each in commands]
    assert [foreign] == [each for each, _ in answers.dead]
    assert 2 == await drafts(world)


async def test_what_stands_in_the_way_of_a_second_run_is_no_failure_of_it(world, acme):
    """A step meets what its first run has left before it comes to the row of effects."""

    async def hold(connection: Connection) -> None:
        await connection.execute("INSERT INTO quota_periods VALUES (current_tenant(), '2027-01-01')")

    probe = BatchProbe(script={acme.saga_id: hold})
    replies = [(await run_batch(world.memory, probe.do(), [acme], fresh=True)).replies for _ in range(2)]
    assert ["done"] == [reply.outcome.kind for reply in replies[0]]
    assert replies[0] == replies[1]
