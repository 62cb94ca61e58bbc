"""The part of the suite about dead letters, and orders that tell of them."""

from dataclasses import replace
from uuid import uuid4

from contracts.names import REPLIES
from orchestrator.store.port import Letter, Order, Refusal
from tests.kit.store_world import World, begin, incoming, letter


def replay_of(told: Letter) -> Order:
    return Order(
        order_id=uuid4(), key=None, kind="replay", verdict=None, actor="ann", reason="mended", letter=told
    )


async def lying(world: World, told: Letter) -> Letter:
    """A letter as an order to replay it finds it."""
    order = replay_of(told)
    await world.add_order(order)
    (found,) = [each for each in await world.store.open_orders(limit=9) if each.order_id == order.order_id]
    async with world.store.group() as group:
        await group.finish_orders([(order.order_id, "done")])
    assert found.letter is not None
    return found.letter


async def bury(world: World, *letters: Letter) -> None:
    async with world.store.group() as group:
        await group.bury(letters)


class LettersSuite:
    async def test_a_letter_that_died_before_keeps_one_row_that_counts(self, world: World) -> None:
        await bury(world, letter(1, message_id="m\0"), letter(2), letter(3, message_id="m\0"))
        await bury(world, letter(4, message_id="m-2"))
        assert [("record_usage", "m-2", "open"), ("record_usage", "m\ufffd", "open")] == await world.letters()
        assert [2, 2] == [
            (await lying(world, letter(1, message_id="m\ufffd"))).times_seen,
            (await lying(world, letter(2))).times_seen,
        ]

    async def test_a_letter_is_read_as_it_was_written(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        about = {"saga": "lead", "step": "record_usage", "direction": "do", "attempt": 3}
        written = replace(letter(1, key=key), **about, routing_key="acme.lead_requested")
        await bury(world, written, letter(2))
        assert (written, letter(2)) == (await lying(world, written), await lying(world, letter(2)))

    async def test_what_became_of_a_letter_does_not_settle_its_second_death(self, world: World) -> None:
        await bury(world, letter(1))
        async with world.store.group() as group:
            assert await group.mark_replayed(letter(1))
        assert "replayed" == (await lying(world, letter(1))).status
        await bury(world, letter(2, message_id="m-1"))
        assert replace(letter(1), times_seen=2) == await lying(world, letter(1))

    async def test_a_letter_that_needs_nobody_stays_as_it_was_settled(self, world: World) -> None:
        moot = replace(letter(2, message_id="m-1"), status="moot")
        await bury(world, letter(1))
        async with world.store.group() as group:
            await group.mark_replayed(letter(1))
        await bury(world, moot)
        assert "replayed" == (await lying(world, letter(1))).status
        await bury(world, letter(3), replace(letter(4, message_id="m-3"), status="moot"))
        assert "moot" == (await lying(world, letter(3))).status

    async def test_a_letter_that_is_not_as_it_was_read_is_not_marked(self, world: World) -> None:
        await bury(world, letter(1))
        read = await lying(world, letter(1))
        await bury(world, letter(1))
        async with world.store.group() as group:
            assert not await group.mark_replayed(read)
        assert ("open", 2) == ((await lying(world, read)).status, (await lying(world, read)).times_seen)
        now = await lying(world, read)
        async with world.store.group() as group:
            assert [True, False] == [await group.mark_replayed(now), await group.mark_replayed(now)]

    async def test_closing_letters_closes_the_open_ones_of_that_sagas_commands_only(
        self, world: World
    ) -> None:
        await world.add_tenant("acme")
        one, other = await begin(world, incoming(1), incoming(2))
        reply = replace(letter(5, key=one), queue=REPLIES)
        async with world.store.group() as group:
            await group.bury([letter(1, key=one), letter(2, key=one), letter(3, key=other), letter(4), reply])
            await group.close_letters(one, "replayed")
            await group.close_letters(one, "moot")
        statuses = [status for _, _, status in await world.letters()]
        assert ["replayed", "replayed", "open", "open", "open"] == statuses

    async def test_an_order_tells_where_the_saga_stood(self, world: World) -> None:
        await world.add_tenant("acme")
        (key,) = await begin(world, incoming(1))
        await bury(world, letter(1, key=key))
        order = replace(replay_of(letter(1, key=key)), key=key, at=("record_usage", "do", 2))
        await world.add_order(order)
        assert [order] == await world.store.open_orders(limit=5)

    async def test_a_refused_sender_is_remembered_with_its_group(self, world: World) -> None:
        refused = Refusal(
            tenant_id="nobody", routing_key="acme.x\0", user="acme", reason="no", message_id="m"
        )
        async with world.store.group() as group:
            await group.audit([])
            await group.audit([refused, refused])
        assert [("nobody", "acme.x\ufffd", "acme")] * 2 == await world.refusals()
