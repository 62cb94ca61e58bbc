"""A bundle that kills its process again and again is worked through until the culprit stands out."""

import asyncio
from functools import partial

import pytest

from contracts.bundle import decode, encode
from contracts.messages import Command
from contracts.outcomes import Done
from steps.runtime.batch import Answers, run_alone
from steps.runtime.effects import NO_SAGA
from steps.runtime.single import MAX_STARTS, POISON
from steps.runtime.step import Single, Step
from steps.runtime.suspect import run_suspects
from tests.kit.commands import PROBE, BatchProbe, command, stranger
from tests.kit.tenants_at_work import TenantsAtWork
from tests.kit.wire import wired


class Killed(BaseException):
    """Stands for the end of the process."""


async def deliver(world: TenantsAtWork, probe: BatchProbe, commands: list[Command]) -> Answers:
    return await run_suspects(world.memory, commands, partial(run_alone, world.memory, probe.do()))


async def test_the_culprit_is_dead_lettered_and_its_neighbours_are_done_once(world, probe):
    commands = [command(tenant, await world.saga(tenant)) for tenant in ("acme", "globex", "acme")]
    culprit = commands[1]

    async def kill(_: object) -> None:
        raise Killed

    probe.script[culprit.saga_id] = kill
    for _ in range(MAX_STARTS):
        with pytest.raises(Killed):
            await deliver(world, probe, commands)
    answers = await deliver(world, probe, commands)

    assert [(culprit, POISON)] == answers.dead
    assert [commands[0].saga_id, commands[2].saga_id] == [reply.saga_id for reply in answers.replies]
    assert 2 == await world.admin.fetchval("SELECT count(*) FROM leads")


async def test_healthy_suspects_are_answered_however_often_they_come(world, probe):
    commands = [command("acme", await world.saga("acme")) for _ in range(2)]
    replies = [(await deliver(world, probe, commands)).replies for _ in range(MAX_STARTS + 2)]

    assert [replies[0]] * len(replies) == replies
    assert commands == probe.ran


async def test_a_suspect_of_a_foreign_saga_is_dead_at_once_and_the_next_one_runs(world, probe):
    foreign, mine = command("acme", stranger()), command("acme", await world.saga("acme"))
    answers = await deliver(world, probe, [foreign, mine])

    assert [(foreign, NO_SAGA)] == answers.dead
    assert [mine.saga_id] == [reply.saga_id for reply in answers.replies]


async def test_a_database_that_goes_away_while_a_suspect_runs_is_no_sign_of_poison(world, probe, monkeypatch):
    suspect = command("acme", await world.saga("acme"))
    flaps = [ConnectionResetError() for _ in range(MAX_STARTS + 1)]

    async def away(_: object) -> None:
        if flaps:
            raise flaps.pop()

    monkeypatch.setattr("steps.runtime.patience.PAUSE", 0.01)
    probe.script[suspect.saga_id] = away
    answers = await deliver(world, probe, [suspect])

    assert ([], ["done"]) == (answers.dead, [reply.outcome.kind for reply in answers.replies])
    assert 1 == await world.admin.fetchval("SELECT starts FROM effects")


async def test_a_suspect_that_is_broken_off_in_order_is_no_poison_however_often(world, probe):
    suspect = command("acme", await world.saga("acme"))
    running = asyncio.Event()

    async def hang(_: object) -> None:
        running.set()
        await asyncio.Event().wait()

    probe.script[suspect.saga_id] = hang
    for _ in range(MAX_STARTS + 1):
        delivered = asyncio.create_task(deliver(world, probe, [suspect]))
        await running.wait()
        running.clear()
        delivered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivered
    del probe.script[suspect.saga_id]
    answers = await deliver(world, probe, [suspect])

    assert ([], ["done"]) == (answers.dead, [reply.outcome.kind for reply in answers.replies])


@pytest.mark.parametrize("kind", ["batch", "single"])
async def test_what_is_broken_off_again_and_again_counts_as_a_death_in_the_end(
    world, probe, amqp_url, queue_prefix, monkeypatch, kind
):
    """As a command does that blocks its process for longer than the broker waits, and then goes on."""
    monkeypatch.setattr("steps.runtime.consume.FORGIVEN", 5)
    slow = command("acme", await world.saga("acme"))
    ran: list[Command] = []

    async def block(_: object, __: object = None) -> Done:
        ran.append(slow)
        await wire.lose_channels()
        await asyncio.Event().wait()  # until the loss of the channel cancels the handler
        return Done()

    probe.script[slow.saga_id] = block
    step = probe.step() if kind == "batch" else Step(name=PROBE, do=Single(run=block))
    async with wired(amqp_url, queue_prefix, world) as wire, wire.consumer(step):
        await wire.send(encode([slow]))
        letter = await wire.letter()

    assert ("Poison", [slow]) == (letter.headers["error"], decode(letter.body, Command))
    assert 5 + MAX_STARTS == len(ran)
