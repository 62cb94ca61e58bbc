"""Operators, who look now and then and put things right. Their tools are a part of the system."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from orchestrator.core.state import State
from orchestrator.store.port import Letter, Order, SagaKey
from steps.runtime.effects_memory import EffectRow

if TYPE_CHECKING:
    from tests.simulation.world import World

EVERY = 0.7
Verdict = Literal["done", "not_done"]


class Operators:
    def __init__(self, world: "World") -> None:
        self.world = world

    async def work(self) -> None:
        world, chance = self.world, self.world.chance
        while world.stormy:
            await asyncio.sleep(EVERY)
            for key, row in list(world.rows().items()):
                if row.status == "parked" and chance.random() < world.scenario.replays:
                    if chance.random() < 0.5:
                        self._mend()
                    await self.replay(key)
                elif row.status == "parked" and chance.random() < world.scenario.resolves:
                    await self.resolve(key)
                elif chance.random() < world.scenario.cancels:
                    await self._order(key, "cancel")
            for letter in world.store.letters():
                if letter.saga_id is None and chance.random() < world.scenario.replays:
                    await self._order(None, "replay", letter=letter)

    async def replay_all(self) -> None:
        """What was wrong is mended; whatever is parked is tried again."""
        self._mend()
        for key in list(self.world.rows()):
            await self.replay(key)

    def _mend(self) -> None:
        self.world.scenario.poison.clear()
        self.world.scenario.ill.clear()
        self.world.vendors.refused.clear()

    async def replay(self, key: SagaKey) -> None:
        state = self._state(key)
        if state.status == "parked":
            await self._order(key, "replay", at=_at(state))

    async def resolve(self, key: SagaKey) -> None:
        """Settles by hand what can be settled: an undo is done by hand, and a pivot is declared what it is.
        As the tool does it: the step is marked in the transaction that orders, so that no copy of its
        command may run any more."""
        world = self.world
        async with world.memory.transaction() as effects:
            state, tables = self._state(key), effects.connection
            if state.status != "parked" or state.step is None or self._is_ordered(key):
                return
            name = (*key, state.step, "do")
            row = tables.effects.get(name, EffectRow())
            verdict: Verdict = "done"
            if state.direction == "undo":
                tables.content.drafts.pop(key, None)
                if state.step == "reserve_quota":
                    tables.content.release(key)
            elif state.step not in {"record_usage", "refund_usage"}:
                return
            elif row.effect.state != "done":
                verdict = "not_done"
            if state.direction == "undo" or verdict == "not_done":
                tables.effects[name] = replace(row, effect=replace(row.effect, state="undone", owed=False))
            await self._order(key, "resolve", at=_at(state), verdict=verdict)

    def _state(self, key: SagaKey) -> State:
        state: State = self.world.rows()[key].state()
        return state

    def _is_ordered(self, key: SagaKey | None, letter: Letter | None = None) -> bool:
        """One order about a saga, or a letter, is open at a time."""
        return any(
            result is None
            and (order.key, order.letter and order.letter.message_id) == (key, letter and letter.message_id)
            for order, result in self.world.store._tables.orders.values()
        )

    async def _order(
        self,
        key: SagaKey | None,
        kind: Literal["cancel", "replay", "resolve"],
        *,
        at: tuple[str, Literal["do", "undo"], int] | None = None,
        verdict: Verdict | None = None,
        letter: Letter | None = None,
    ) -> None:
        if self._is_ordered(key, letter):
            return
        self.world.trace.say("operator", "orders", kind, key[1].int if key else "of a letter", verdict or "")
        order = Order(
            order_id=self.world.new_id(),
            key=key,
            kind=kind,
            verdict=verdict,
            actor="ann",
            reason="it looks right",
            at=at,
            letter=letter,
        )
        await self.world.store.add_order(order)


def _at(state: State) -> tuple[str, Literal["do", "undo"], int]:
    assert state.step is not None
    return state.step, state.direction, state.attempt
