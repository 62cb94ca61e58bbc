"""What one group does with what arrived, on every store."""

from dataclasses import replace
from uuid import uuid4

from contracts.outcomes import Rejected
from contracts.requests import CancelRequested
from orchestrator.run.items import Asked, Died, Misunderstood, Tick, Woken
from orchestrator.run.speech import Asker, refusal_to
from orchestrator.store.port import Letter
from tests.kit.engine import Engine, commands, lead, make_engine, only, said


async def test_a_request_is_accepted_and_started_in_one_group(engine: Engine) -> None:
    report = await engine.ask(lead(1))
    assert [("acme", "accepted")] == said(report)
    assert ("reserve_quota", 1) == (only(report).step, only(report).attempt)


async def test_a_redelivered_reply_sends_the_command_that_it_caused_again(engine: Engine) -> None:
    first = await engine.begin(lead(1))
    lost = only(await engine.answer(first))

    again = await engine.answer(first, redelivered=True)

    assert lost == only(again)
    assert 1 == again.stale


async def test_a_reply_heard_twice_without_a_crash_sends_nothing(engine: Engine) -> None:
    first = await engine.begin(lead(1))
    await engine.answer(first)

    again = await engine.answer(first)

    assert [] == commands(again.outbox)
    assert 1 == again.stale


async def test_a_redelivered_reply_that_caused_an_older_command_sends_nothing(engine: Engine) -> None:
    first = await engine.begin(lead(1))
    second = only(await engine.answer(first))
    await engine.answer(second)

    again = await engine.answer(first, redelivered=True)

    assert [] == commands(again.outbox)


async def test_a_redelivered_request_sends_its_first_command_again(engine: Engine) -> None:
    lost = await engine.begin(lead(1))
    assert lost == only(await engine.handle(Asked(lead(1), redelivered=True)))


async def test_the_same_request_again_is_answered_and_starts_nothing(engine: Engine) -> None:
    first = await engine.ask(lead(1))
    again = await engine.ask(lead(1))
    assert [] == commands(again.outbox)
    assert [event.event_id for event in first.outbox.events] == [
        event.event_id for event in again.outbox.events
    ]


async def test_a_delivered_request_asked_again_has_its_delivery_repeated(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    for _ in range(3):
        command = only(await engine.answer(command))
    assert "report_to_stripe" == command.step

    assert "record_usage" == only(await engine.ask(lead(1))).step


async def test_only_so_many_sagas_are_in_flight_and_the_rest_wait_for_their_turn(engine: Engine) -> None:
    small = make_engine(engine.world, engine.time, limit=2)

    report = await small.ask(lead(1), lead(2), lead(3))

    assert ["r-1", "r-2"] == [command.request_id for command in commands(report.outbox)]
    assert [] == commands((await small.handle(Tick())).outbox)
    await small.answer(commands(report.outbox)[0], Rejected(reason="over quota"))
    assert "r-3" == only(await small.handle(Tick())).request_id


async def test_a_delivered_saga_that_waits_for_stripe_takes_no_place(engine: Engine) -> None:
    small = make_engine(engine.world, engine.time, limit=1)
    command = only(await small.ask(lead(1), lead(2)))
    for _ in range(3):
        command = only(await small.answer(command))
    assert ("r-1", "report_to_stripe") == (command.request_id, command.step)

    assert "r-2" == only(await small.handle(Tick())).request_id


async def test_one_tenant_with_many_requests_does_not_delay_another(engine: Engine) -> None:
    small = make_engine(engine.world, engine.time, limit=3)
    many = [lead(number) for number in range(10)]

    report = await small.ask(*many, lead(1, tenant="blue"))

    started = [(command.tenant_id, command.request_id) for command in commands(report.outbox)]
    assert sorted([("acme", "r-0"), ("blue", "r-1"), ("acme", "r-1")]) == sorted(started)


async def test_a_tenant_has_no_more_sagas_in_flight_than_it_may(engine: Engine) -> None:
    await engine.world.add_tenant("acme", sagas_in_flight=1)

    report = await engine.ask(lead(1), lead(2), lead(1, tenant="blue"))

    started = {(command.tenant_id, command.request_id) for command in commands(report.outbox)}
    assert {("acme", "r-1"), ("blue", "r-1")} == started


async def test_a_saga_woken_after_its_time_sends_its_command_again(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    key = (command.tenant_id, command.saga_id)

    early = await engine.handle(Woken(key))
    assert [] == commands(early.outbox)
    engine.time.passes(600)

    assert command == only(await engine.handle(Woken(key)))


async def test_a_reply_for_a_saga_that_does_not_exist_is_counted(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    stranger = command.model_copy(update={"saga_id": uuid4()})
    foreign = command.model_copy(update={"tenant_id": "blue"})
    assert 1 == (await engine.answer(stranger)).unknown
    assert 1 == (await engine.answer(foreign)).unknown
    assert "running" == await engine.status(command)


async def test_a_command_that_died_ends_its_attempt_and_is_kept(engine: Engine) -> None:
    """The saga turns back by itself, so the letter is nobody's work."""
    command = await engine.begin(lead(1))

    await engine.handle(Died(_letter(1), command))

    assert "unwinding" == await engine.status(command)
    assert [("reserve_quota", "m-1", "moot")] == await engine.world.letters()


async def test_a_dead_letter_that_parks_its_saga_is_open(engine: Engine) -> None:
    reserve = await engine.begin(lead(1))
    generate = only(await engine.answer(reserve))
    record = only(await engine.answer(generate))

    await engine.handle(Died(_letter(1), record))

    assert "parked" == await engine.status(record)
    assert [("reserve_quota", "m-1", "open")] == await engine.world.letters()


async def test_a_cancel_that_has_to_wait_for_a_pivot_in_doubt_leaves_its_dead_letter_open(
    engine: Engine,
) -> None:
    reserve = await engine.begin(lead(1))
    generate = only(await engine.answer(reserve))
    record = only(await engine.answer(generate))
    letter = replace(_letter(1), tenant_id=record.tenant_id, saga_id=record.saga_id)
    await engine.handle(Died(letter, record))

    await engine.ask(CancelRequested(tenant_id="acme", request_id="r-1", reason="no need"))

    assert "parked" == await engine.status(record)
    assert [("reserve_quota", "m-1", "open")] == await engine.world.letters()


async def test_a_command_that_died_after_it_was_answered_is_moot(engine: Engine) -> None:
    command = await engine.begin(lead(1))
    await engine.answer(command)

    await engine.handle(Died(_letter(1), command))

    assert "running" == await engine.status(command)
    assert [("reserve_quota", "m-1", "moot")] == await engine.world.letters()


async def test_a_message_without_sense_is_kept_and_its_sender_hears_of_it_if_it_is_known(
    engine: Engine,
) -> None:
    asker = Asker(tenant_id="acme", request_id="r-1")
    refused = refusal_to(asker, "the message", "leads is missing", engine.time())

    known = await engine.handle(Misunderstood(_letter(1), refused))
    unknown = await engine.handle(Misunderstood(_letter(2)))

    assert ([("acme", "refused")], []) == (said(known), said(unknown))
    kept = [(queue, name) for queue, name, _ in await engine.world.letters()]
    assert [("reserve_quota", "m-1"), ("reserve_quota", "m-2")] == kept


async def test_what_is_to_be_said_is_kept_until_somebody_says_that_it_was(engine: Engine) -> None:
    report = await engine.ask(lead(1))
    engine.time.passes(60)
    kept = await engine.world.store.events_before(engine.time(), limit=10)
    assert report.outbox.events == kept


async def test_a_cancel_of_a_waiting_saga_ends_it_without_a_command(engine: Engine) -> None:
    small = make_engine(engine.world, engine.time, limit=1)
    running = only(await small.ask(lead(1), lead(2)))

    report = await small.ask(CancelRequested(tenant_id="acme", request_id="r-2", reason="no need"))

    assert ([("acme", "failed")], []) == (said(report), commands(report.outbox))
    await small.answer(running, Rejected(reason="over quota"))
    assert [] == commands((await small.handle(Tick())).outbox)


def _letter(number: int) -> Letter:
    return Letter(
        dead_letter_id=uuid4(),
        queue="reserve_quota",
        message_id=f"m-{number}",
        error="Poison",
        reason="it kills its process",
        message=b"{}",
    )
