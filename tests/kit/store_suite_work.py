"""The part of the suite about what is to be done next: turns, times, orders, events, letters, counts."""

import asyncio
from datetime import datetime
from uuid import UUID

from contracts.outcomes import Transient
from orchestrator.core.news import Cancel, DeadLettered, Due
from orchestrator.sagas.lead import LEAD
from orchestrator.store.port import EventOut, Gauges, Order, SagaKey
from tests.kit.store_suite_foreign import ForeignSuite
from tests.kit.store_suite_letters import LettersSuite
from tests.kit.store_world import (
    DAY,
    MINUTE,
    NOON,
    World,
    begin,
    done,
    incoming,
    letter,
    replied,
    saga_id,
    start,
    tell,
    tell_in,
)

STEPS = [step.name for step in LEAD.steps]


def keys(*pairs: tuple[str, int]) -> tuple[SagaKey, ...]:
    return tuple((tenant, saga_id(number)) for tenant, number in pairs)


class TurnsSuite:
    async def test_turns_go_round_the_tenants_oldest_first(self, world: World) -> None:
        for tenant in ("acme", "blue", "coco"):
            await world.add_tenant(tenant)
        await begin(world, *(incoming(n) for n in (1, 2, 3, 4)), incoming(5, tenant="coco"))
        await begin(world, incoming(7, tenant="blue"), incoming(6, tenant="blue"))
        async with world.store.group() as group:
            turns = await group.turns(limit=6, tenants=[])
        order = [("acme", 1), ("coco", 5), ("blue", 6), ("acme", 2), ("blue", 7), ("acme", 3)]
        assert keys(*order) == turns.waiting
        assert (6, {"acme": 50, "blue": 50, "coco": 50}) == (turns.free, turns.room)

    async def test_a_tenant_with_sagas_in_flight_waits_behind_one_that_has_none(self, world: World) -> None:
        for tenant in ("acme", "blue"):
            await world.add_tenant(tenant)
        begun = await begin(world, *(incoming(n) for n in (1, 2, 3)), incoming(9, tenant="blue"))
        await tell(world, begun[:1], start())
        async with world.store.group() as group:
            turns = await group.turns(limit=2, tenants=[])
        assert keys(("blue", 9)) == turns.waiting

    async def test_no_tenant_gets_more_turns_than_it_has_room(self, world: World) -> None:
        await world.add_tenant("acme", sagas_in_flight=3)
        await world.add_tenant("blue", sagas_in_flight=1)
        begun = await begin(world, *(incoming(n) for n in range(1, 6)), incoming(8, tenant="blue"))
        await tell(world, [begun[0], begun[-1]], start())
        await begin(world, incoming(9, tenant="blue"))
        async with world.store.group() as group:
            turns = await group.turns(limit=100, tenants=["blue", "nobody"])
        assert keys(("acme", 2), ("acme", 3)) == turns.waiting
        assert (98, {"acme": 2, "blue": 0}) == (turns.free, turns.room)

    async def test_nothing_starts_while_all_places_are_taken(self, world: World) -> None:
        await world.add_tenant("acme")
        begun = await begin(world, *(incoming(n) for n in range(1, 6)))
        await tell(world, begun[:3], start())
        async with world.store.group() as group:
            turns = await group.turns(limit=2, tenants=["acme"])
        assert (0, {"acme": 47}, ()) == (turns.free, turns.room, turns.waiting)

    async def test_a_place_is_free_again_once_its_saga_ended_or_was_parked(self, world: World) -> None:
        await world.add_tenant("acme")
        begun = await begin(world, *(incoming(n) for n in (1, 2, 3)))
        await tell(world, begun, start())
        await tell(world, begun[:1], *(done(step) for step in STEPS))
        await tell(world, begun[1:2], *(done(step) for step in STEPS[:2]))
        await tell(world, begun[1:2], dead_lettered("record_usage"))
        async with world.store.group() as group:
            assert 9 == (await group.turns(limit=10, tenants=[])).free

    async def test_groups_that_give_turns_at_once_stay_within_the_limits(self, world: World) -> None:
        await world.add_tenant("acme", sagas_in_flight=5)
        await world.add_tenant("blue")
        await begin(world, *(incoming(n) for n in range(1, 21)))
        await begin(world, *(incoming(n, tenant="blue") for n in range(21, 41)))

        async def starter() -> None:
            async with world.store.group() as group:
                turns = await group.turns(limit=12, tenants=[])
                await tell_in(group, turns.waiting[:4], start())

        await asyncio.gather(*(starter() for _ in range(8)))
        async with world.store.group() as group:
            turns = await group.turns(limit=12, tenants=["acme", "blue"])
        assert (0, {"acme": 0, "blue": 43}) == (turns.free, turns.room)

    async def test_no_tenants_and_no_sagas_leave_all_places_free(self, world: World) -> None:
        async with world.store.group() as group:
            turns = await group.turns(limit=4, tenants=["acme"])
        assert (4, {}, ()) == (turns.free, turns.room, turns.waiting)


def dead_lettered(step: str, attempt: int = 1) -> DeadLettered:
    return DeadLettered(at=NOON, step=step, direction="do", attempt=attempt, reason="it kills")


class TimesSuite:
    async def due(self, world: World, at: datetime) -> list[SagaKey]:
        return await world.store.due(at, limit=10)

    async def test_a_saga_comes_due_when_its_answer_is_missing(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], start())
        assert [] == await self.due(world, NOON + MINUTE / 2)
        assert [key] == await self.due(world, NOON + MINUTE)

    async def test_an_early_wake_is_moved_up_to_what_the_saga_waits_for(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], start())
        await tell(world, [key], done("reserve_quota"))
        assert [key] == await self.due(world, NOON + MINUTE)
        await world.store.postpone([key, ("acme", saga_id(9))], NOON + MINUTE)
        assert [] == await self.due(world, NOON + MINUTE)
        assert [key] == await self.due(world, NOON + 2 * MINUTE)

    async def test_postponing_does_not_touch_a_wake_time_that_lies_ahead(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], start())
        await world.store.postpone([key], NOON)
        assert [key] == await self.due(world, NOON + MINUTE)

    async def test_a_wake_time_is_never_later_than_a_retry_that_is_due_soon(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await tell(world, [key], start(), replied("reserve_quota", Transient(reason="busy")))
        assert [key] == await self.due(world, NOON + MINUTE / 60)
        await tell(world, [key], Due(at=NOON + MINUTE / 60))
        await world.store.postpone([key], NOON + MINUTE / 60)
        assert [] == await self.due(world, NOON + MINUTE / 2)

    async def test_sagas_that_wait_or_are_parked_wake_at_their_deadline(self, world: World) -> None:
        await world.add_tenant("acme")
        parked, waiting = await begin(world, incoming(1), incoming(2))
        await tell(
            world, [parked], start(), *(done(step) for step in STEPS[:2]), dead_lettered("record_usage")
        )
        assert [] == await self.due(world, NOON + DAY - MINUTE)
        assert [parked, waiting] == await self.due(world, NOON + DAY)
        await world.store.postpone([parked, waiting], NOON + DAY)
        assert [parked, waiting] == await self.due(world, NOON + DAY)

    async def test_an_ended_saga_never_wakes(self, world: World) -> None:
        await world.add_tenant("acme")
        finished, cancelled = await begin(world, incoming(1), incoming(2))
        await tell(world, [finished], start(), *(done(step) for step in STEPS))
        await tell(world, [cancelled], Cancel(at=NOON, by="ann", reason="a mistake"))
        assert [] == await self.due(world, NOON + 9 * DAY)

    async def test_what_is_due_comes_oldest_first_and_not_more_than_asked_for(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1), at=NOON + MINUTE)
        await begin(world, incoming(2))
        due = await world.store.due(NOON + 2 * DAY, limit=5)
        assert list(keys(("acme", 2), ("acme", 1))) == due
        assert due[:1] == await world.store.due(NOON + 2 * DAY, limit=1)


class OutboxSuite:
    async def test_an_event_waits_until_it_is_deleted(self, world: World) -> None:
        first, second = (
            EventOut(event_id=UUID(int=n), tenant_id="nobody", event="refused", body=f'{{"n": {n}}}')
            for n in (1, 2)
        )
        async with world.store.group() as group:
            await group.save([], [first, second, first])
        async with world.store.group() as group:
            await group.save([], [first])
        far = NOON.replace(year=2100)
        assert [first, second] == await world.store.events_before(far, limit=9)
        assert [first] == await world.store.events_before(far, limit=1)
        assert [] == await world.store.events_before(NOON.replace(year=2000), limit=9)
        await world.store.delete_events([first.event_id])
        assert [second] == await world.store.events_before(far, limit=9)

    async def test_an_order_is_open_until_its_first_result(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        order = Order(
            order_id=UUID(int=1), key=key, kind="resolve", verdict="done", actor="ann", reason="seen"
        )
        later = Order(order_id=UUID(int=2), key=key, kind="cancel", verdict=None, actor="bob", reason="wrong")
        await world.add_order(order)
        await world.add_order(later)
        assert [order, later] == await world.store.open_orders(limit=5)
        assert [order] == await world.store.open_orders(limit=1)
        async with world.store.group() as group:
            await group.finish_orders([(order.order_id, "done"), (UUID(int=9), "unknown order")])
        async with world.store.group() as group:
            await group.finish_orders([(order.order_id, "too late")])
        assert [later] == await world.store.open_orders(limit=5)
        assert "done" == await world.order_result(order.order_id)

    async def test_gauges_count_over_all_tenants(self, world: World) -> None:
        empty = Gauges(
            waiting=0, in_flight=0, parked=0, open_dead_letters=0, events_waiting=0, oldest_unfinished=None
        )
        assert empty == await world.store.gauges()
        await world.add_tenant("acme")
        await world.add_tenant("blue")
        ended, parked = await begin(world, incoming(1), incoming(2, tenant="blue"), at=NOON - MINUTE)
        flying, _waiting = await begin(world, incoming(3), incoming(4, tenant="blue"))
        await tell(world, [ended, parked, flying], start())
        await tell(world, [ended], *(done(step) for step in STEPS))
        await tell(world, [parked], *(done(step) for step in STEPS[:2]), dead_lettered("record_usage"))
        event = EventOut(event_id=UUID(int=1), tenant_id="blue", event="parked", body="{}")
        async with world.store.group() as group:
            await group.bury([letter(1, key=parked)])
            await group.save([], [event])
        expected = Gauges(
            waiting=1, in_flight=1, parked=1, open_dead_letters=1, events_waiting=1, oldest_unfinished=NOON
        )
        assert expected == await world.store.gauges()


class WorkSuite(TurnsSuite, TimesSuite, OutboxSuite, LettersSuite, ForeignSuite):
    """All of it."""
