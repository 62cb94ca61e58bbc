"""A process that meets a saga of a version it does not know decides nothing of it, and nothing is lost."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from contracts.messages import Command
from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.core.definition import Saga
from orchestrator.run import group as groups
from orchestrator.run.intake import BEING_UPGRADED
from orchestrator.run.items import Answered, Died, Ordered, Tick, Woken
from orchestrator.run.letters import Death, about, letter_of
from orchestrator.sagas import CURRENT, REGISTERED
from orchestrator.store.port import Order
from tests.kit import releases
from tests.kit.engine import Engine, commands, lead, only, reply, said

LONG = 3600.0


@contextmanager
def release(engine: Engine, current: tuple[Saga, ...], registered: tuple[Saga, ...]) -> Iterator[None]:
    """The engine is a process of this release, on the database that all share."""
    known = {(saga.name, saga.version): saga for saga in registered}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "CURRENT", current)
        patch.setattr(engine.around.store, "_versions", frozenset(known))
        patch.setattr(engine, "around", replace(engine.around, sagas=known))
        yield


def newer(engine: Engine) -> AbstractContextManager[None]:
    return release(engine, releases.CURRENT, releases.REGISTERED)


def older(engine: Engine) -> AbstractContextManager[None]:
    return release(engine, CURRENT, REGISTERED)


def cancel(request: LeadRequested) -> CancelRequested:
    return CancelRequested(tenant_id=request.tenant_id, request_id=request.request_id, reason="a mistake")


def refund(request: LeadRequested) -> RefundRequested:
    return RefundRequested(
        tenant_id=request.tenant_id, refund_id="f-1", request_id=request.request_id, reason="closed"
    )


async def test_a_reply_is_let_go_and_asked_for_again_by_who_knows_the_version(engine: Engine) -> None:
    with newer(engine):
        command = await engine.begin(lead(1))
    key = (command.tenant_id, command.saga_id)
    before = await engine.world.history(key)
    with older(engine):
        report = await engine.answer(command)
    assert (1, 0, {}) == (report.foreign, report.unknown, report.outbox.commands)
    assert before == await engine.world.history(key)
    with newer(engine):
        engine.time.passes(LONG)
        again = only(await engine.handle(Woken(key)))
        assert (command.step, command.attempt) == (again.step, again.attempt)
        assert "generate_leads" == only(await engine.answer(again)).step


async def test_a_reply_between_others_disturbs_none_of_them(engine: Engine) -> None:
    with newer(engine):
        theirs = await engine.begin(lead(1))
    with older(engine):
        ours = await engine.begin(lead(2))
        report = await engine.handle(*(Answered(reply(each)) for each in (theirs, ours)))
    assert [("generate_leads", ours.saga_id)] == [
        (each.step, each.saga_id) for each in commands(report.outbox)
    ]


async def test_a_cancel_is_refused_for_now_and_taken_when_it_is_asked_again(engine: Engine) -> None:
    with newer(engine):
        await engine.begin(lead(1))
    with older(engine):
        report = await engine.ask(cancel(lead(1)), refund(lead(1)))
    assert [("acme", "refused")] * 2 == said(report)
    assert all(BEING_UPGRADED in event.body for event in report.outbox.events)
    with newer(engine):
        assert "release_quota" in (await engine.ask(cancel(lead(1)))).outbox.commands


async def test_the_same_request_again_is_answered_with_what_is_known_of_it(engine: Engine) -> None:
    with newer(engine):
        first = await engine.ask(lead(1))
    with older(engine):
        again = await engine.ask(lead(1))
    assert [("acme", "accepted")] == said(first) == said(again)
    assert first.outbox.events[0].event_id == again.outbox.events[0].event_id
    assert [] == commands(again.outbox)


async def test_a_dead_letter_is_kept_open_and_decides_nothing(engine: Engine) -> None:
    with newer(engine):
        command = await engine.begin(lead(1))
    death = Death(queue="reserve_quota", routing_key="reserve_quota", error="Poison", reason="it kills")
    letter = about(letter_of(lambda: UUID(int=77), death, b"{}"), command)
    with older(engine):
        await engine.handle(Died(letter, command))
    assert ["open"] == [status for _, _, status in await engine.world.letters()]
    with newer(engine):
        assert "running" == await engine.status(command)


async def test_one_that_waits_starts_when_a_process_knows_it_and_keeps_nobody_waiting(engine: Engine) -> None:
    await engine.world.add_tenant("acme", sagas_in_flight=1)
    with newer(engine):
        running = await engine.begin(lead(1))
        await engine.ask(lead(2))
        await engine.ask(cancel(lead(1)))
        await engine.answer(await undo_of(engine, running))
    with older(engine):
        assert [] == commands((await engine.handle(Tick())).outbox)
        assert 3 == (await engine.begin(lead(3, tenant="blue"))).request["leads"]
    with newer(engine):
        assert "r-2" == only(await engine.handle(Tick())).request_id


async def undo_of(engine: Engine, command: Command) -> Command:
    """What a cancelled saga waits for."""
    engine.time.passes(LONG)
    return only(await engine.handle(Woken((command.tenant_id, command.saga_id))))


async def test_an_order_stays_open(engine: Engine) -> None:
    with newer(engine):
        command = await engine.begin(lead(1))
    order = Order(
        order_id=UUID(int=5),
        key=(command.tenant_id, command.saga_id),
        kind="cancel",
        verdict=None,
        actor="ann",
        reason="wrong",
    )
    await engine.world.add_order(order)
    with older(engine):
        assert [] == await engine.around.store.open_orders(limit=9)
    with newer(engine):
        (found,) = await engine.around.store.open_orders(limit=9)
        await engine.handle(Ordered(found))
    assert "done" == await engine.world.order_result(order.order_id)


async def test_a_saga_of_an_older_version_goes_on_in_a_newer_release(engine: Engine) -> None:
    with older(engine):
        command = await engine.begin(lead(1))
    with newer(engine):
        command = only(await engine.answer(command))
        assert ["generate_leads", "record_usage"] == [command.step, only(await engine.answer(command)).step]
