"""What every store must do. A test module gives the suite its `world`, and all of this must hold there."""

import asyncio

import pytest

from contracts.outcomes import Rejected, Unknown
from orchestrator.core.news import News
from orchestrator.core.state import replay
from orchestrator.sagas.lead import LEAD
from orchestrator.store.errors import LogConflict
from orchestrator.store.port import Admission, Admitted, Attached, Refused
from tests.kit.store_suite_work import WorkSuite
from tests.kit.store_world import (
    NOON,
    World,
    accepted,
    begin,
    change,
    done,
    incoming,
    replied,
    saga_id,
    start,
    tell,
    tell_in,
    until_told,
)

OTHER_CONTENT = Refused("request_id was used before with other content")


class AdmissionSuite:
    async def test_a_new_request_is_admitted_with_the_id_it_brought(self, world: World) -> None:
        await world.add_tenant("acme")
        async with world.store.group() as group:
            assert [Admitted(("acme", saga_id(1)))] == await group.admit([incoming(1)])

    async def test_the_same_request_attaches_to_the_saga_it_began(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1))
        async with world.store.group() as group:
            assert [Attached(("acme", saga_id(1)))] == await group.admit([incoming(2, name="r-1")])

    async def test_a_used_id_with_other_content_is_refused_and_the_first_one_stays(
        self, world: World
    ) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1))
        async with world.store.group() as group:
            again = [incoming(2, name="r-1", content=b"b"), incoming(3, name="r-1")]
            assert [OTHER_CONTENT, Attached(("acme", saga_id(1)))] == await group.admit(again)

    async def test_equal_ids_within_one_call_count_as_one_after_the_other(self, world: World) -> None:
        await world.add_tenant("acme")
        same = [incoming(1, name="r"), incoming(2, name="r"), incoming(3, name="r", content=b"b")]
        first = ("acme", saga_id(1))
        async with world.store.group() as group:
            assert [Admitted(first), Attached(first), OTHER_CONTENT] == await group.admit(same)

    async def test_equal_ids_of_two_tenants_are_two_requests(self, world: World) -> None:
        await world.add_tenant("acme")
        await world.add_tenant("blue")
        async with world.store.group() as group:
            both = [incoming(1, tenant="blue", name="r"), incoming(2, tenant="acme", name="r")]
            assert [Admitted(("blue", saga_id(1))), Admitted(("acme", saga_id(2)))] == await group.admit(both)

    async def test_a_tenant_that_is_unknown_or_suspended_begins_nothing(self, world: World) -> None:
        await world.add_tenant("late", status="suspended")
        asked = [incoming(1, tenant="nobody"), incoming(2, tenant="late")]
        async with world.store.group() as group:
            refused = await group.admit(asked)
        assert [Refused("unknown tenant"), Refused("the tenant is suspended")] == refused

    async def test_a_suspended_tenant_may_still_ask_for_the_outcome_of_an_old_request(
        self, world: World
    ) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1))
        await world.add_tenant("acme", status="suspended")
        async with world.store.group() as group:
            assert [Attached(("acme", saga_id(1)))] == await group.admit([incoming(2, name="r-1")])

    async def test_groups_that_admit_the_same_requests_at_once_begin_each_exactly_once(
        self, world: World
    ) -> None:
        await world.add_tenant("acme")

        async def ask(first: int) -> list[Admission]:
            asked = [incoming(first + number, name=f"r-{number}") for number in range(10)]
            if first % 20 == 0:
                asked.reverse()
            async with world.store.group() as group:
                answers = await group.admit(asked)
                new = [
                    request
                    for request, answer in zip(asked, answers, strict=True)
                    if isinstance(answer, Admitted)
                ]
                await group.save([accepted(request) for request in new])
            return answers

        answers = [
            answer for some in await asyncio.gather(*(ask(10 * n) for n in range(6))) for answer in some
        ]
        assert 10 == sum(isinstance(answer, Admitted) for answer in answers)
        assert 50 == sum(isinstance(answer, Attached) for answer in answers)
        assert 10 == len({answer.key for answer in answers if not isinstance(answer, Refused)})

    async def test_a_request_of_a_group_that_failed_was_never_seen(self, world: World) -> None:
        await world.add_tenant("acme")

        async def admit_and_fail() -> None:
            async with world.store.group() as group:
                await group.admit([incoming(1)])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await admit_and_fail()
        async with world.store.group() as group:
            assert [Admitted(("acme", saga_id(2)))] == await group.admit([incoming(2, name="r-1")])

    async def test_sagas_are_found_by_their_request(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1), incoming(2))
        wanted = [("acme", "lead", "r-2"), ("acme", "refund", "r-2"), ("acme", "lead", "never")]
        async with world.store.group() as group:
            assert {("acme", "lead", "r-2"): ("acme", saga_id(2))} == await group.find(wanted)
            assert {} == await group.find([])


class LogSuite:
    async def test_a_saga_reads_as_it_was_saved_and_as_its_log_says(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], start(), done("reserve_quota"))
        await tell(world, [key], replied("generate_leads", Unknown(reason="no answer \0 \\u0000")))
        await tell(world, [key], replied("generate_leads", Rejected(reason="näh \0"), attempt=2))
        history = await world.history(key)
        async with world.store.group() as group:
            stored = (await group.load([key]))[key]
        assert replay(LEAD, history) == stored.state
        assert (len(history), "lead", 1, "r-1") == (
            stored.entries,
            stored.saga,
            stored.version,
            stored.request_id,
        )
        assert "makers of bicycles" == stored.state.request["criteria"]
        assert "no answer \ufffd \\u0000" in {getattr(entry, "reason", None) for entry in history}

    async def test_every_prefix_of_a_whole_saga_is_stored_faithfully(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        news: list[News] = [start(), *(done(step.name) for step in LEAD.steps)]
        for item in news:
            async with world.store.group() as group:
                moved = change(LEAD, (await group.load([key]))[key], item)
                await group.save([moved])
            async with world.store.group() as group:
                assert moved.state == (await group.load([key]))[key].state
        assert "completed" == moved.state.status

    async def test_a_group_of_many_sagas_moves_them_all(self, world: World) -> None:
        await world.add_tenant("acme")
        await world.add_tenant("blue")
        asked = [incoming(n, tenant=("acme", "blue")[n % 2]) for n in range(1, 31)]
        keys = await begin(world, *asked)
        await tell(world, keys[::-1], start(), done("reserve_quota"))
        async with world.store.group() as group:
            stored = await group.load([*keys, ("acme", saga_id(99))])
        assert sorted(keys) == sorted(stored)
        assert {"generate_leads"} == {saga.state.step for saga in stored.values()}

    async def test_an_exception_leaves_nothing_behind(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))

        async def save_and_fail() -> None:
            async with world.store.group() as group:
                await tell_in(group, [key], start())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await save_and_fail()
        assert ["accepted"] == [entry.kind for entry in await world.history(key)]

    async def test_a_saga_may_be_saved_twice_in_one_group(self, world: World) -> None:
        await world.add_tenant("acme")
        async with world.store.group() as group:
            await group.admit([incoming(1)])
            await group.save([accepted(incoming(1))])
            key = ("acme", saga_id(1))
            await group.save([change(LEAD, (await group.load([key]))[key], start())])
        assert ["accepted", "started", "requested"] == [e.kind for e in await world.history(key)]

    async def test_a_log_that_grew_meanwhile_refuses_the_change(self, world: World) -> None:
        await world.add_tenant("acme")
        (key, other) = await begin(world, incoming(1), incoming(2))
        async with world.store.group() as group:
            old = await group.load([key, other])
        await tell(world, [key], start())
        with pytest.raises(LogConflict):
            async with world.store.group() as group:
                await group.save([change(LEAD, old[each], start()) for each in (other, key)])
        assert 3 == len(await world.history(key))
        assert 1 == len(await world.history(other))

    async def test_a_saga_that_exists_cannot_be_made_again(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1))
        with pytest.raises(LogConflict):
            async with world.store.group() as group:
                await group.save([accepted(incoming(1), at=NOON)])

    async def test_of_groups_that_move_the_same_sagas_at_once_each_gets_through_or_is_refused_whole(
        self, world: World
    ) -> None:
        await world.add_tenant("acme")
        await world.add_tenant("blue")
        keys = await begin(world, *(incoming(n, tenant=("acme", "blue")[n % 2]) for n in range(1, 21)))
        news: list[News] = [start(), *(done(step.name) for step in LEAD.steps[:3])]
        orders = [keys, keys[::-1], keys[5:] + keys[:5], keys[::2] + keys[1::2]]
        told = (until_told(world, order, item) for item, order in zip(news, orders, strict=True))
        await asyncio.gather(*told)
        histories = [await world.history(key) for key in keys]
        assert {"started"} == {history[1].kind for history in histories}
        assert 1 == len({tuple(entry.kind for entry in history) for history in histories})

    async def test_what_is_read_and_written_outside_of_a_group_is_the_same(self, world: World) -> None:
        await world.add_tenant("acme")
        keys = await begin(world, incoming(1), incoming(2))
        loaded = await world.store.load(keys)
        await world.store.save([change(LEAD, loaded[key], start()) for key in keys])
        assert {3} == {len(await world.history(key)) for key in keys}
        with pytest.raises(LogConflict):
            await world.store.save([change(LEAD, loaded[key], start()) for key in keys])
        assert {3} == {len(await world.history(key)) for key in keys}

    async def test_of_what_is_written_outside_of_a_group_all_or_nothing_happens(self, world: World) -> None:
        await world.add_tenant("acme")
        one, two = await begin(world, incoming(1), incoming(2))
        loaded = await world.store.load([one, two])
        await tell(world, [two], start())
        with pytest.raises(LogConflict):
            await world.store.save([change(LEAD, loaded[key], start()) for key in (one, two)])
        assert ["accepted"] == [entry.kind for entry in await world.history(one)]

    async def test_to_do_nothing_changes_nothing(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], done("notify_discord"))
        async with world.store.group() as group:
            await group.save([])
            await group.bury([])
            await group.finish_orders([])
            assert [] == await group.admit([])
            assert {} == await group.load([])
        await world.store.postpone([], NOON)
        await world.store.delete_events([])
        assert 1 == len(await world.history(key))
        assert [] == await world.history(("acme", saga_id(9)))


class StoreSuite(AdmissionSuite, LogSuite, WorkSuite):
    """All of it."""
