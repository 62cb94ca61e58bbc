"""In a bundle a failure is that of one command: its neighbours are answered as if it were not there."""

import asyncio

import asyncpg
import pytest

from contracts.errors import StepRejected, StepTransient, StepUnknown
from contracts.messages import Command
from contracts.outcomes import Rejected, Transient, Unknown
from contracts.process.postgres import AWAY
from steps.runtime.batch import UNANSWERABLE, run_batch
from steps.runtime.effects import NO_SAGA
from steps.runtime.step import Batch, Connection
from tests.kit.commands import BatchProbe, command, stranger, undo
from tests.kit.tenants_at_work import TenantsAtWork


async def healthy(world: TenantsAtWork, *tenants: str) -> list[Command]:
    return [command(tenant, await world.saga(tenant)) for tenant in tenants or ("acme", "acme", "globex")]


async def outcomes(world: TenantsAtWork, probe: BatchProbe, commands: list[Command]) -> list[str]:
    """In the order of the commands."""
    answers = await run_batch(world.memory, probe.do(), commands)
    kinds = {reply.saga_id: reply.outcome.kind for reply in answers.replies}
    return [kinds.get(each.saga_id, "none") for each in commands]


async def drafts(world: TenantsAtWork) -> int:
    return int(await world.admin.fetchval("SELECT count(*) FROM leads"))


async def violate(connection: Connection) -> None:
    await connection.execute("INSERT INTO quota_periods VALUES (current_tenant(), now(), -1)")


async def too_big(connection: Connection) -> None:
    await connection.fetchval("SELECT $1::int", 2**40)


async def for_another_tenant(connection: Connection) -> None:
    await connection.execute("INSERT INTO quota_periods VALUES ('globex', now())")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StepRejected("no quota", error="OverQuota"), Rejected(reason="no quota", error="OverQuota")),
        (
            StepTransient("locked", error="Locked", retry_after=3, progress=True),
            Transient(reason="locked", error="Locked", retry_after=3, progress=True),
        ),
        (StepUnknown("who knows", error="Lost"), Unknown(reason="who knows", error="Lost")),
        (KeyError("secret"), Transient(reason="the step failed unexpectedly", error="KeyError")),
        (violate, Transient(reason="the step failed unexpectedly", error="CheckViolationError")),
        (too_big, Transient(reason="the step failed unexpectedly", error="DataError")),
        (
            for_another_tenant,
            Transient(reason="the step failed unexpectedly", error="InsufficientPrivilegeError"),
        ),
        (StepRejected("x" * 5000), Rejected(reason="x" * 2000, error="StepRejected")),
        (StepRejected("a\0b"), Rejected(reason="a\N{REPLACEMENT CHARACTER}b", error="StepRejected")),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_a_failing_command_fails_alone_with_the_outcome_of_its_failure(world, probe, failure, expected):
    commands = await healthy(world)
    bad = commands[1]
    probe.script[bad.saga_id] = failure
    answers = await run_batch(world.memory, probe.do(), commands)
    found = {reply.saga_id: reply.outcome for reply in answers.replies}

    assert expected == found.pop(bad.saga_id)
    assert ["done", "done"] == [outcome.kind for outcome in found.values()]
    assert 2 == await drafts(world)


async def test_the_answer_of_a_failure_stays_true_when_the_cause_is_gone(world, probe):
    [bad] = await healthy(world, "acme")
    probe.script[bad.saga_id] = StepTransient("busy")
    first = await run_batch(world.memory, probe.do(), [bad])
    probe.script.clear()
    again = await run_batch(world.memory, probe.do(), [bad])

    assert first.replies == again.replies
    assert 0 == await drafts(world)


async def test_an_attempt_over_its_time_is_transient_for_it_did_nothing(world, probe):
    async def slow(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(30)")

    neighbour, late = [
        each.model_copy(update={"timeout": 0.3}) for each in await healthy(world, "acme", "acme")
    ]
    probe.script[late.saga_id] = slow
    answers = await run_batch(world.memory, probe.do(), [neighbour, late])
    found = {reply.saga_id: reply.outcome for reply in answers.replies}

    assert "done" == found[neighbour.saga_id].kind
    assert Transient(reason="not done within 0.3 s", error="TimedOut") == found[late.saga_id]
    assert 1 == await drafts(world)


@pytest.mark.parametrize("direction", ["do", "undo"])
async def test_a_foreign_saga_is_dead_and_its_neighbours_are_unharmed(world, probe, direction):
    foreign = command("globex", await world.saga("acme"), direction=direction)
    invented = command("acme", stranger(), direction=direction)
    commands = [each.model_copy(update={"direction": direction}) for each in await healthy(world)]
    work = probe.step().work()["reserve_quota" if direction == "do" else "release_quota"]
    assert isinstance(work, Batch)
    answers = await run_batch(world.memory, work, [foreign, *commands, invented])

    assert [(foreign, NO_SAGA), (invented, NO_SAGA)] == answers.dead
    assert {each.saga_id for each in commands} == {reply.saga_id for reply in answers.replies}
    touched = await world.admin.fetchval(
        "SELECT count(*) FROM effects WHERE saga_id IN ($1, $2)", foreign.saga_id, invented.saga_id
    )
    assert 0 == touched
    assert (3 if direction == "do" else 0) == await drafts(world)


async def test_a_number_that_no_column_holds_fails_its_command_and_not_the_bundle(world, probe):
    commands = await healthy(world)
    huge = command("acme", await world.saga("acme")).model_copy(update={"attempt": 2**40})
    answers = await run_batch(world.memory, probe.do(), [huge, *commands])

    assert [(huge, UNANSWERABLE)] == answers.dead
    assert ["done"] * 3 == [reply.outcome.kind for reply in answers.replies]
    assert 3 == await drafts(world)


async def test_a_connection_that_is_cut_in_the_middle_is_no_answer_and_the_next_run_does_it_once(
    world, probe
):
    commands = await healthy(world)

    async def cut(connection: Connection) -> None:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await world.admin.execute("SELECT pg_terminate_backend($1)", pid)
        await connection.execute("SELECT 1")

    probe.script[commands[1].saga_id] = cut
    with pytest.raises(AWAY):
        await run_batch(world.memory, probe.do(), commands)
    assert 0 == await drafts(world)
    assert 0 == await world.admin.fetchval("SELECT count(*) FROM effects")

    probe.script.clear()
    assert ["done"] * 3 == await outcomes(world, probe, commands)
    assert ["done"] * 3 == await outcomes(world, probe, commands)
    assert 3 == await drafts(world)


async def test_a_deadlock_between_two_bundles_costs_neither_its_answer(world):
    first, second = await healthy(world, "acme", "acme")
    await world.admin.execute(
        "INSERT INTO quota_periods VALUES ('acme', '2027-01-01'), ('acme', '2027-02-01')"
    )
    both_hold_one = asyncio.Barrier(2)

    def grab(*months: str):
        async def grabbing(connection: Connection) -> None:
            for place, month in enumerate(months):
                await connection.execute(
                    "SELECT FROM quota_periods WHERE period_start = $1::text::timestamptz FOR UPDATE", month
                )
                if place == 0 and not met.is_set():
                    await both_hold_one.wait()
                    met.set()

        return grabbing

    met = asyncio.Event()
    probes = [BatchProbe(script={first.saga_id: grab("2027-01-01", "2027-02-01")}),
              BatchProbe(script={second.saga_id: grab("2027-02-01", "2027-01-01")})]  # fmt: skip
    both = await asyncio.gather(
        run_batch(world.memory, probes[0].do(), [first]),
        run_batch(world.memory, probes[1].do(), [second]),
    )

    assert ["done", "done"] == [reply.outcome.kind for answers in both for reply in answers.replies]
    # One of the two was the victim once at least, and began anew.
    assert 3 <= len(probes[0].ran) + len(probes[1].ran)
    assert 2 == await drafts(world)


async def test_an_undo_in_the_bundle_that_fails_forbids_nothing(world, probe):
    async def refuse(connection: Connection, commands: list[Command]) -> list[Rejected]:
        return [Rejected(reason="not now") for _ in commands]

    [done] = await healthy(world, "acme")
    await run_batch(world.memory, Batch(run=refuse), [undo(done)])
    assert ["done"] == await outcomes(world, probe, [done])


def test_errors_of_the_database_are_away_or_someones_fault_but_never_both():
    assert not issubclass(asyncpg.IntegrityConstraintViolationError, AWAY)
    assert not issubclass(asyncpg.DataError, AWAY)
    assert issubclass(asyncpg.DiskFullError, AWAY)
