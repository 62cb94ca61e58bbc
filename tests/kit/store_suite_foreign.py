"""The part of the suite about sagas of a version that the store was not told of: they are left to others."""

from dataclasses import replace
from uuid import UUID

from orchestrator.sagas.lead import LEAD
from orchestrator.store.port import Foreign, Order, Stored
from tests.kit.store_world import DAY, NOON, World, begin, incoming, saga_id

LATER = replace(LEAD, version=LEAD.version + 1)


class ForeignSuite:
    async def test_a_saga_of_an_unknown_version_is_found_and_not_read(self, world: World) -> None:
        await world.add_tenant("acme")
        (ours,), (theirs,) = await begin(world, incoming(1)), await begin(world, incoming(2), saga=LATER)
        async with world.store.group() as group:
            found = await group.load([theirs, ours, ("acme", saga_id(9))])
        assert {ours: Stored, theirs: Foreign} == {key: type(each) for key, each in found.items()}

    async def test_it_is_never_due_and_keeps_nothing_else_from_being_due(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1), incoming(2), saga=LATER, at=NOON - DAY)
        (ours,) = await begin(world, incoming(3))
        assert [ours] == await world.store.due(NOON + DAY, limit=1)

    async def test_it_gets_no_turn_and_takes_none_from_others(self, world: World) -> None:
        for tenant in ("acme", "blue"):
            await world.add_tenant(tenant)
        await begin(world, incoming(1), incoming(2), incoming(3, tenant="blue"), saga=LATER)
        (ours,) = await begin(world, incoming(4))
        async with world.store.group() as group:
            turns = await group.turns(limit=1, tenants=[])
        assert (ours,) == turns.waiting

    async def test_what_was_ordered_for_it_stays(self, world: World) -> None:
        await world.add_tenant("acme")
        (theirs,), (ours,) = await begin(world, incoming(1), saga=LATER), await begin(world, incoming(2))
        first, second = (
            Order(order_id=UUID(int=n), key=key, kind="cancel", verdict=None, actor="ann", reason="wrong")
            for n, key in enumerate((theirs, ours), 1)
        )
        await world.add_order(first)
        await world.add_order(second)
        assert [second] == await world.store.open_orders(limit=1)

    async def test_it_counts_like_any_other(self, world: World) -> None:
        await world.add_tenant("acme")
        await begin(world, incoming(1), saga=LATER)
        assert 1 == (await world.store.gauges()).waiting
