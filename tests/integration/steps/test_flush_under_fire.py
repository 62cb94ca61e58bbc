"""However the flush is broken off, doubled or interleaved: all is billed once and each saga answered."""

import asyncio
import random
from dataclasses import replace

import pytest

from contracts.errors import StepRejected, StepTransient
from contracts.messages import Command
from steps.billing.flush import flush_tenant
from steps.clients.stripe import UsageUnknown
from steps.refund_at_stripe import STEP as REFUND
from steps.report_to_stripe import STEP as REPORT
from steps.runtime.step import Step
from steps.work.rounds import Rounds
from tests.kit.stand_ins import Crash, CrashingDatabase, FakeWorker, When
from tests.kit.tenants_at_work import TenantsAtWork, again

PATIENCE = 10
"""Seconds after which a test no longer waits for what must happen."""


async def crashes(worker: FakeWorker, tenant_id: str, at: int, when: When) -> bool:
    """A flush whose process ends at one of its transactions; False when it has fewer."""
    dying = replace(worker, database=CrashingDatabase(worker.database, at, when))
    try:
        await flush_tenant(dying, tenant_id)
    except Crash:
        return True
    return False


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_may_end_between_any_two_operations(world, stripe, worker, when):
    crashed = 0
    for at in range(1, 40):
        tenant_id = await world.tenant(f"t-{at}")
        commands = [await world.usage(tenant_id, leads) for leads in (3, 4)]
        await world.take(REPORT, *commands)
        if not await crashes(worker, tenant_id, at, when):
            break
        crashed += 1
        if await world.due_in(tenant_id) is not None:  # nobody comes back to a tenant that is not listed
            await world.hurry()
            await flush_tenant(worker, tenant_id)
        assert stripe.billed(f"cus_{tenant_id}") == 7
        assert {command.saga_id for command in commands} <= {reply.saga_id for reply in worker.replies}
        assert await world.due_in(tenant_id) is None
    assert crashed >= 10


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_may_end_in_the_middle_of_the_call(world, stripe, worker, when):
    await world.tenant("acme")
    await world.take(REPORT, await world.usage("acme", 7))
    stripe.failures = [(when, asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await flush_tenant(worker, "acme")
    assert await world.states("intents", "acme") == ["sending"]

    await world.hurry()
    await flush_tenant(worker, "acme")

    assert stripe.billed("cus_acme") == 7
    assert [reply.outcome.kind for reply in worker.replies] == ["done"]


async def test_an_answer_that_was_not_confirmed_is_sent_again(world, worker):
    await world.tenant("acme")
    await world.take(REPORT, await world.usage("acme", 7))
    worker.broken = 1
    with pytest.raises(Crash):
        await flush_tenant(worker, "acme")
    await flush_tenant(worker, "acme")
    first, second = worker.replies
    assert first == second
    assert await world.due_in("acme") is None


async def test_many_flushers_of_one_tenant_bill_once_and_one_call_at_a_time(world, stripe):
    await world.tenant("acme")
    commands = [await world.usage("acme", 1) for _ in range(20)]
    await world.take(REPORT, *commands)
    workers = [FakeWorker(world.database, stripe) for _ in range(4)]

    await asyncio.gather(*(flush_tenant(worker, "acme") for worker in workers))

    assert [call["value"] for call in stripe.calls] == [20]
    assert {reply.saga_id for worker in workers for reply in worker.replies} == {
        command.saga_id for command in commands
    }


async def test_two_processes_do_not_claim_the_same_tenant(world, stripe):
    for number in range(6):
        await world.usage(await world.tenant(f"t-{number}"), 100)
    pairs = [(Rounds("flush", flush_tenant), FakeWorker(world.database, stripe, visits=3)) for _ in range(2)]
    await asyncio.gather(*(rounds(worker) for rounds, worker in pairs))
    await asyncio.gather(*(rounds.ended() for rounds, _ in pairs))
    assert sorted(call["customer"] for call in stripe.calls) == [f"cus_t-{number}" for number in range(6)]


async def test_a_tenant_whose_calls_hang_delays_no_other(world, stripe, worker):
    gate = stripe.gates["cus_slow"] = asyncio.Event()
    rounds = Rounds("flush", flush_tenant)
    await world.usage(await world.tenant("slow"), 100)
    await rounds(worker)
    async with asyncio.timeout(PATIENCE):
        await stripe.called["cus_slow"].wait()

    await world.usage(await world.tenant("fast"), 100)
    await rounds(worker)
    async with asyncio.timeout(PATIENCE):
        await stripe.called["cus_fast"].wait()

    assert stripe.billed("cus_slow") == 0
    gate.set()
    await rounds.ended()
    assert (stripe.billed("cus_slow"), stripe.billed("cus_fast")) == (100, 100)


async def test_a_visit_that_fails_is_made_again_soon(world, worker):
    await world.usage(await world.tenant("acme"), 100)

    async def fails(_worker: object, _tenant_id: str) -> None:
        raise Crash

    rounds = Rounds("flush", fails)
    await rounds(worker)
    await rounds.ended()
    assert 0 < await world.due_in("acme") <= 5


def some_failure(dice: random.Random) -> tuple[When, Exception]:
    return dice.choice(
        [
            ("before", StepTransient("busy")),
            ("before", UsageUnknown("no answer")),
            ("after", UsageUnknown("no answer")),
            ("after", UsageUnknown("server error", stored=True)),
            ("before", StepRejected("refused")),
        ]
    )


@pytest.mark.parametrize("seed", range(6))
async def test_in_any_interleaving_stripe_is_told_the_net_of_the_ledger(world, stripe, seed):
    dice = random.Random(seed)
    tenants = [await world.tenant(f"t-{number}") for number in range(3)]
    workers = [FakeWorker(world.database, stripe) for _ in range(2)]
    open_: dict[object, tuple[Step, Command]] = {}
    usages: list[Command] = []
    for _ in range(25):
        tenant_id = dice.choice(tenants)
        if usages and dice.random() < 0.25:
            usage = usages.pop()
            command, step = await world.reversal(usage, 1), REFUND
        else:
            command, step = await world.usage(tenant_id, dice.randint(1, 9)), REPORT
            usages.append(command)
        open_[command.saga_id] = (step, command)
        if dice.random() < 0.4:
            stripe.failures.append(some_failure(dice))
        if dice.random() < 0.8:
            await asyncio.gather(
                world.take(step, command),
                *(flush_tenant(worker, dice.choice(tenants)) for worker in workers),
            )
        if dice.random() < 0.3:
            await world.hurry()
        if dice.random() < 0.1:
            stripe.forget()
            await world.a_day_passes()
    stripe.failures.clear()
    await answer_all(world, workers, open_, tenants)

    for tenant_id in tenants:
        assert await world.net(tenant_id) == stripe.billed(f"cus_{tenant_id}")
        assert await world.due_in(tenant_id) is None


async def answer_all(
    world: TenantsAtWork,
    workers: list[FakeWorker],
    open_: dict[object, tuple[Step, Command]],
    tenants: list[str],
) -> None:
    """Operators replay what was refused until every saga is done."""
    done: set[object] = set()
    for attempt in range(2, 8):
        for saga_id, (step, command) in open_.items():
            if saga_id not in done:
                replies = await world.take(step, again(command, attempt))
                done |= {reply.saga_id for reply in replies if reply.outcome.kind == "done"}
        workers[0].client.forget()
        await world.a_day_passes()
        for tenant_id in tenants:
            await flush_tenant(workers[0], tenant_id)
        told = [reply for worker in workers for reply in worker.replies]
        done |= {reply.saga_id for reply in told if reply.outcome.kind == "done"}
        if done == set(open_):
            return
    raise AssertionError(f"{len(set(open_) - done)} sagas were never answered")
