"""A bundle takes effect once, each tenant's part under that tenant, its answers with its effects."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from contracts.messages import Command
from contracts.outcomes import Done, Rejected
from steps.runtime.batch import run_batch
from steps.runtime.step import OWING, Batch
from tests.kit.commands import BatchProbe, attempt, command, undo
from tests.kit.tenants_at_work import TenantsAtWork


@pytest.fixture
async def acme(world: TenantsAtWork) -> Command:
    return command("acme", await world.saga("acme"))


async def effects_of(world: TenantsAtWork, saga_id: UUID) -> dict[str, tuple[str, int, bool]]:
    rows = await world.admin.fetch(
        "SELECT direction, state, answered, owed FROM effects WHERE saga_id = $1", saga_id
    )
    return {row["direction"]: (row["state"], row["answered"], row["owed"]) for row in rows}


async def leads_of(world: TenantsAtWork) -> Counter[tuple[str, UUID]]:
    rows = await world.admin.fetch("SELECT tenant_id, saga_id FROM leads")
    return Counter((row["tenant_id"], row["saga_id"]) for row in rows)


async def test_mixed_tenants_share_one_transaction_and_each_row_lands_under_its_own(world, probe):
    tenants = ["globex", "acme", "globex", "acme", "globex"]
    commands = [command(tenant, await world.saga(tenant)) for tenant in tenants]
    answers = await run_batch(world.memory, probe.do(), commands)

    assert {each.saga_id for each in commands} == {reply.saga_id for reply in answers.replies}
    assert ["acme", "globex"] == [bundle[0].tenant_id for bundle in probe.bundles]
    assert Counter((each.tenant_id, each.saga_id) for each in commands) == await leads_of(world)
    assert 1 == await world.admin.fetchval("SELECT count(DISTINCT created_at) FROM leads")


async def test_the_tenant_of_a_bundle_is_forgotten_with_its_transaction(world, probe, acme):
    await run_batch(world.memory, probe.do(), [acme])
    for _ in range(world.database.pool.get_size() + 1):
        async with world.database.transaction() as connection:
            assert await connection.fetchval("SELECT current_tenant()") is None
            assert 0 == await connection.fetchval("SELECT count(*) FROM leads")


async def test_a_duplicate_repeats_the_answer_and_runs_nothing(world, probe, acme):
    first = await run_batch(world.memory, probe.do(), [acme])
    second = await run_batch(world.memory, probe.do(), [acme])

    assert first.replies == second.replies
    assert [acme] == probe.ran
    assert {("acme", acme.saga_id): 1} == await leads_of(world)


async def test_copies_of_a_command_in_one_bundle_take_effect_once(world, probe, acme):
    other = command("acme", await world.saga("acme"))
    answers = await run_batch(world.memory, probe.do(), [acme, other, acme, acme])

    assert Counter([acme.saga_id, other.saga_id]) == Counter(reply.saga_id for reply in answers.replies)
    assert {("acme", acme.saga_id): 1, ("acme", other.saga_id): 1} == await leads_of(world)


@pytest.mark.parametrize("answer", [Done(facts={"n": 1}), Rejected(reason="no")])
async def test_an_attempt_below_the_answered_one_repeats_the_later_answer(world, probe, acme, answer):
    probe.script[acme.saga_id] = answer
    await run_batch(world.memory, probe.do(), [attempt(acme, 3)])
    [reply] = (await run_batch(world.memory, probe.do(), [attempt(acme, 2)])).replies

    assert (3, answer) == (reply.attempt, reply.outcome)
    assert 1 == len(probe.ran)


async def test_what_is_done_is_not_done_again_by_a_later_attempt(world, probe, acme):
    await run_batch(world.memory, probe.do(), [acme])
    [reply] = (await run_batch(world.memory, probe.do(), [attempt(acme, 2)])).replies

    assert (1, "done") == (reply.attempt, reply.outcome.kind)
    assert [acme] == probe.ran


async def test_after_a_refusal_the_next_attempt_runs(world, probe, acme):
    probe.script[acme.saga_id] = Rejected(reason="no")
    await run_batch(world.memory, probe.do(), [acme])
    del probe.script[acme.saga_id]
    [reply] = (await run_batch(world.memory, probe.do(), [attempt(acme, 2)])).replies

    assert (2, "done") == (reply.attempt, reply.outcome.kind)
    assert [acme, attempt(acme, 2)] == probe.ran


async def test_an_undo_before_its_do_forbids_it_for_ever(world, probe, acme):
    step = probe.step()
    assert isinstance(step.undo, Batch)
    [undone] = (await run_batch(world.memory, step.undo, [undo(acme)])).replies
    late = await run_batch(world.memory, probe.do(), [acme])
    later = await run_batch(world.memory, probe.do(), [attempt(acme, 2)])

    assert ("undo", "done") == (undone.direction, undone.outcome.kind)
    assert [("rejected", "Undone")] * 2 == [
        (reply.outcome.kind, reply.outcome.error) for reply in [*late.replies, *later.replies]
    ]
    assert [1, 2] == [reply.attempt for reply in [*late.replies, *later.replies]]
    assert not await leads_of(world)
    assert {"do": ("undone", 0, False), "undo": ("done", 1, False)} == await effects_of(world, acme.saga_id)


async def test_an_undo_after_its_do_takes_it_back_once_and_a_late_copy_does_nothing(world, probe, acme):
    step = probe.step()
    assert isinstance(step.undo, Batch)
    await run_batch(world.memory, probe.do(), [acme])
    first = await run_batch(world.memory, step.undo, [undo(acme)])
    again = await run_batch(world.memory, step.undo, [undo(acme)])
    late = await run_batch(world.memory, probe.do(), [acme])

    assert first.replies == again.replies
    assert ["rejected"] == [reply.outcome.kind for reply in late.replies]
    assert [acme, undo(acme)] == probe.ran
    assert not await leads_of(world)


async def test_an_owed_answer_is_kept_silent_and_owed_once(world, probe, acme):
    probe.script[acme.saga_id] = OWING
    for _ in range(2):
        answers = await run_batch(world.memory, probe.do(), [acme])
        assert ([], [], []) == (answers.replies, answers.dead, answers.events)

    assert [acme] == probe.ran
    assert {"do": ("open", 0, True)} == await effects_of(world, acme.saga_id)


async def test_a_later_attempt_of_what_is_owed_runs_and_the_earlier_one_is_stale_then(world, probe, acme):
    probe.script[acme.saga_id] = OWING
    for each in (acme, attempt(acme, 2), acme):
        assert not (await run_batch(world.memory, probe.do(), [each])).replies
    assert [acme, attempt(acme, 2)] == probe.ran


async def test_what_is_done_is_announced_when_fresh_and_when_repeated_and_nothing_else_is(world, probe, acme):
    refused = command("acme", await world.saga("acme"))
    probe.script[refused.saga_id] = Rejected(reason="no")
    fresh = await run_batch(world.memory, probe.do(), [acme, refused])
    repeated = await run_batch(world.memory, probe.do(), [refused, acme])

    assert [[acme], [acme]] == probe.announced
    assert [acme.saga_id] == [event.event_id for event in fresh.events]
    assert [acme.saga_id] == [event.event_id for event in repeated.events]


@pytest.mark.parametrize("fresh", [(False, False), (True, True), (True, False)])
async def test_two_processes_with_the_same_bundle_have_one_effect_and_the_same_answers(world, fresh):
    probes = [BatchProbe(), BatchProbe()]
    commands = [command(tenant, await world.saga(tenant)) for tenant in ["acme", "globex"] * 10]
    backwards = list(reversed(commands))
    both = await asyncio.gather(
        run_batch(world.memory, probes[0].do(), commands, fresh=fresh[0]),
        run_batch(world.memory, probes[1].do(), backwards, fresh=fresh[1]),
    )

    assert Counter((each.tenant_id, each.saga_id) for each in commands) == await leads_of(world)
    one, two = ({reply.saga_id: reply for reply in answers.replies} for answers in both)
    assert one == two
    assert len(commands) == len(one)
