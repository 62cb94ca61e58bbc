"""What the step side's memory must do. A test module gives the suite its `world`, and all of this must hold
there."""

from typing import Any, Protocol
from uuid import UUID

import pytest

from contracts.messages import Command
from contracts.outcomes import Done, Rejected, Transient
from steps.runtime.effects import Memory, NoSaga, NotFirst, Start
from steps.runtime.ruling import Effect
from steps.runtime.step import OWING
from tests.kit.commands import attempt, command, stranger, undo

REFUSED = Rejected(reason="no")
BUSY = Transient(reason="busy", retry_after=1.5)
DONE = Done(facts={"leads": 3})


class World(Protocol):
    @property
    def memory(self) -> Memory: ...

    async def saga(self, tenant_id: str) -> UUID: ...

    async def go_by(self, seconds: float) -> None:
        """Time passes."""
        ...

    async def outside(self, each: Command) -> dict[str, str]: ...


async def effect_of(world: World, each: Command) -> Effect:
    async with world.memory.transaction(each.tenant_id) as effects:
        [effect] = await effects.lock([each])
        return effect


async def answer(world: World, each: Command, outcome: Any) -> None:
    async with world.memory.transaction(each.tenant_id) as effects:
        await effects.lock([each])
        await effects.save_answers([(each, outcome)])


async def answer_first(world: World, *answered: tuple[Command, Any]) -> None:
    async with world.memory.transaction(*dict.fromkeys(each.tenant_id for each, _ in answered)) as effects:
        await effects.save_first(answered)


async def owe(world: World, each: Command) -> None:
    async with world.memory.transaction(each.tenant_id) as effects:
        await effects.lock([each])
        await effects.owe([each])


async def start(world: World, each: Command, *, resumed: bool = False) -> Start:
    async with world.memory.transaction(each.tenant_id) as effects:
        await effects.lock([each])
        return await effects.mark_started(each, resumed=resumed)


async def interrupt(world: World, each: Command, begun: Start) -> None:
    async with world.memory.transaction(each.tenant_id) as effects:
        await effects.unmark_started(each, begun.run)


async def runs(world: World, each: Command) -> bool:
    async with world.memory.transaction(each.tenant_id) as effects:
        await effects.lock([each])
        return await effects.is_running(each)


class EffectsSuite:
    @pytest.fixture
    async def acme(self, world: World) -> Command:
        return command("acme", await world.saga("acme"))

    async def test_nothing_is_known_of_a_step_that_was_never_asked(self, world: World, acme: Command) -> None:
        assert Effect() == await effect_of(world, acme)

    async def test_a_saga_of_somebody_else_has_no_effects(self, world: World, acme: Command) -> None:
        for foreign in (command("globex", acme.saga_id), command("acme", stranger())):
            with pytest.raises(NoSaga):
                await effect_of(world, foreign)

    @pytest.mark.parametrize("outcome", [REFUSED, BUSY, DONE])
    async def test_an_answer_is_kept_as_it_was_given(self, world: World, acme: Command, outcome: Any) -> None:
        await answer(world, attempt(acme, 2), outcome)
        state = "done" if outcome is DONE else "open"
        kept = Effect(state=state, attempt=2, answered=2, answer=outcome)
        assert kept == await effect_of(world, acme)

    async def test_answers_of_many_sagas_are_kept_apart(self, world: World) -> None:
        several = [command("acme", await world.saga("acme")) for _ in range(3)]
        async with world.memory.transaction("acme") as effects:
            assert [Effect()] * 3 == await effects.lock(several)
            await effects.save_answers(list(zip(several, (REFUSED, BUSY, DONE), strict=True)))
        kept = [(await effect_of(world, each)).answer for each in several]
        assert [REFUSED, BUSY, DONE] == kept

    async def test_to_save_nothing_is_allowed(self, world: World, acme: Command) -> None:
        async with world.memory.transaction("acme") as effects:
            await effects.save_answers([])
            await effects.owe([])
        assert Effect() == await effect_of(world, acme)

    async def test_an_undo_has_a_row_of_its_own(self, world: World, acme: Command) -> None:
        await answer(world, acme, DONE)
        assert Effect() == await effect_of(world, undo(acme))

    async def test_a_done_undo_forbids_its_step_had_it_run_or_not(self, world: World) -> None:
        ran, never = [command("acme", await world.saga("acme")) for _ in range(2)]
        await answer(world, ran, DONE)
        for each in (ran, never):
            await answer(world, undo(each), Done())
            assert "undone" == (await effect_of(world, each)).state
            assert "done" == (await effect_of(world, undo(each))).state

    async def test_an_undo_that_failed_forbids_nothing(self, world: World, acme: Command) -> None:
        await answer(world, acme, DONE)
        await answer(world, undo(acme), BUSY)
        assert "done" == (await effect_of(world, acme)).state

    async def test_an_owed_answer_is_owed_until_it_is_given(self, world: World, acme: Command) -> None:
        await owe(world, acme)
        assert Effect(attempt=1, owed=True) == await effect_of(world, acme)
        await answer(world, acme, DONE)
        assert not (await effect_of(world, acme)).owed

    async def test_beginnings_of_an_attempt_are_counted(self, world: World, acme: Command) -> None:
        assert [Start(1, 1), Start(2, 2), Start(3, 3)] == [await start(world, acme) for _ in range(3)]
        assert Start(1, 4) == await start(world, attempt(acme, 2)), "another attempt, another count"
        assert 4 == (await effect_of(world, acme)).run

    async def test_to_resume_is_no_further_beginning(self, world: World, acme: Command) -> None:
        assert Start(1, 1) == await start(world, acme, resumed=True)
        assert Start(1, 2) == await start(world, acme, resumed=True)

    async def test_a_beginning_that_was_interrupted_does_not_count(self, world: World, acme: Command) -> None:
        begun = await start(world, acme)
        await interrupt(world, acme, begun)
        assert not await runs(world, acme)
        assert Start(1, 2) == await start(world, acme)

    async def test_who_is_interrupted_after_another_run_took_over_did_not_die_and_stops_nobody(
        self, world: World, acme: Command
    ) -> None:
        first, second = await start(world, acme), await start(world, acme)
        await interrupt(world, acme, first)
        assert await runs(world, acme)
        assert Start(2, 3) == await start(world, acme), "of two beginnings one was interrupted"
        assert (1, 2) == (first.run, second.run)

    async def test_an_interrupted_attempt_takes_nothing_from_a_later_one(
        self, world: World, acme: Command
    ) -> None:
        first, later = await start(world, acme), attempt(acme, 2)
        await start(world, later)
        await interrupt(world, acme, first)
        assert await runs(world, later)
        assert Start(2, 3) == await start(world, later)

    async def test_an_attempt_runs_until_its_time_is_over(self, world: World, acme: Command) -> None:
        assert not await runs(world, acme)
        await start(world, acme)
        assert await runs(world, acme)
        assert not await runs(world, attempt(acme, 2))
        await world.go_by(acme.timeout + 1)
        assert not await runs(world, acme)

    async def test_an_answered_attempt_does_not_run(self, world: World, acme: Command) -> None:
        await start(world, acme)
        await answer(world, acme, BUSY)
        assert not await runs(world, acme)

    async def test_ids_of_outside_worlds_are_added_up(self, world: World, acme: Command) -> None:
        for ids in ({"one": "1"}, {"two": "2"}, {"one": "3"}):
            async with world.memory.transaction("acme") as effects:
                await effects.lock([acme])
                await effects.note_outside(acme, ids)
        assert {"one": "3", "two": "2"} == await world.outside(acme)

    async def test_an_exception_leaves_nothing_behind(self, world: World, acme: Command) -> None:
        async def save_and_fail() -> None:
            async with world.memory.transaction("acme") as effects:
                await effects.lock([acme])
                await effects.save_answers([(acme, DONE)])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await save_and_fail()
        assert Effect() == await effect_of(world, acme)

    async def test_what_is_known_comes_in_the_order_in_which_it_was_asked_for(self, world: World) -> None:
        several = [command("acme", await world.saga("acme")) for _ in range(3)]
        await answer(world, several[1], DONE)
        for asked in (several, several[::-1]):
            async with world.memory.transaction("acme") as effects:
                known = await effects.lock(asked)
            assert [each == several[1] for each in asked] == [effect.state == "done" for effect in known]

    async def test_a_transaction_of_several_tenants_keeps_the_answers_of_all(self, world: World) -> None:
        tenants = ("acme", "globex")
        both = [command(tenant_id, await world.saga(tenant_id)) for tenant_id in tenants]
        for before in (Effect(), Effect(state="done", attempt=1, answered=1, answer=DONE)):
            async with world.memory.transaction(*tenants) as effects:
                assert [before] * 2 == await effects.lock(both)
                for tenant_id in (*tenants, None):
                    effects.work_for(tenant_id)
                await effects.save_answers([(each, DONE) for each in both])
        async with world.memory.transaction(*tenants) as effects:
            await effects.lock([undo(each) for each in both])
            await effects.save_answers([(undo(both[0]), Done()), (undo(both[1]), BUSY)])
        assert ["undone", "done"] == [(await effect_of(world, each)).state for each in both]

    async def test_a_transaction_of_several_tenants_owes_for_all(self, world: World) -> None:
        tenants = ("acme", "globex")
        both = [command(tenant_id, await world.saga(tenant_id)) for tenant_id in tenants]
        async with world.memory.transaction(*tenants) as effects:
            await effects.lock(both)
            await effects.owe(both)
        for each in both:
            assert Effect(attempt=1, owed=True) == await effect_of(world, each)

    async def test_one_foreign_saga_among_many_loses_the_transaction(self, world: World) -> None:
        acme, globex = [command(tenant_id, await world.saga(tenant_id)) for tenant_id in ("acme", "globex")]
        foreign = command("globex", acme.saga_id)

        async def lock_all() -> None:
            async with world.memory.transaction("acme", "globex") as effects:
                await effects.lock([acme, globex, foreign])

        with pytest.raises(NoSaga):
            await lock_all()
        assert Effect() == await effect_of(world, globex)

    @pytest.mark.parametrize("outcome", [REFUSED, BUSY, DONE])
    async def test_who_is_first_keeps_its_answer_without_a_lock(
        self, world: World, acme: Command, outcome: Any
    ) -> None:
        await answer_first(world, (acme, outcome))
        state = "done" if outcome is DONE else "open"
        assert Effect(state=state, attempt=1, answered=1, answer=outcome) == await effect_of(world, acme)

    async def test_who_is_first_may_owe_its_answer(self, world: World, acme: Command) -> None:
        await answer_first(world, (acme, OWING))
        assert Effect(attempt=1, owed=True) == await effect_of(world, acme)

    async def test_first_answers_of_several_tenants_are_kept_together(self, world: World) -> None:
        several = [command(tenant, await world.saga(tenant)) for tenant in ("acme", "acme", "globex")]
        await answer_first(world, *zip(several, (DONE, OWING, REFUSED), strict=True))
        known = [await effect_of(world, each) for each in several]
        assert [DONE, None, REFUSED] == [effect.answer for effect in known]
        assert [False, True, False] == [effect.owed for effect in known]

    async def test_to_a_first_answer_ids_of_outside_worlds_can_be_added(
        self, world: World, acme: Command
    ) -> None:
        async with world.memory.transaction("acme") as effects:
            await effects.save_first([(acme, DONE)])
            await effects.note_outside(acme, {"one": "1"})
        assert {"one": "1"} == await world.outside(acme)

    @pytest.mark.parametrize("before", ["asked", "answered", "owed", "begun", "forbidden", "first"])
    async def test_where_somebody_was_first_no_first_answer_is_kept(
        self, world: World, acme: Command, before: str
    ) -> None:
        match before:
            case "asked":
                await effect_of(world, acme)
            case "answered":
                await answer(world, acme, REFUSED)
            case "owed":
                await owe(world, acme)
            case "begun":
                await start(world, acme)
            case "forbidden":
                await answer(world, undo(acme), Done())
            case _:
                await answer_first(world, (acme, BUSY))
        known, neighbour = await effect_of(world, acme), command("globex", await world.saga("globex"))
        with pytest.raises(NotFirst):
            await answer_first(world, (acme, DONE), (neighbour, DONE))
        assert (known, Effect()) == (await effect_of(world, acme), await effect_of(world, neighbour))

    async def test_a_saga_of_somebody_else_gets_no_first_answer(self, world: World, acme: Command) -> None:
        for foreign in (command("globex", acme.saga_id), command("globex", stranger())):
            with pytest.raises(NoSaga):
                await answer_first(world, (acme, DONE), (foreign, DONE))
        assert Effect() == await effect_of(world, acme)
