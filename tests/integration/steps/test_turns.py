"""Calls to an account go out no faster than it takes them, whoever makes them."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from contracts.process.postgres import Database
from steps.billing import turns
from steps.billing.flush import flush_tenant
from tests.kit.stand_ins import FakeStripe, FakeWorker
from tests.kit.tenants_at_work import TenantsAtWork


async def taken(database: Database, times: int, *, per_second: float, bucket: str = "sends") -> list[float]:
    """How far off each of the turns is, nearest first."""
    waits = [turns.seconds_to_turn(database, bucket, per_second) for _ in range(times)]
    return sorted(await asyncio.gather(*waits))


async def test_turns_that_are_taken_at_once_follow_one_another_at_the_rate(world: TenantsAtWork) -> None:
    waits = await taken(world.database, 12, per_second=0.1)
    assert all(9 < later - sooner <= 11 for sooner, later in pairwise(waits)), waits
    assert waits[0] <= 0


async def test_after_a_pause_only_a_short_burst_is_made_up_for(world: TenantsAtWork) -> None:
    await taken(world.database, 1, per_second=10)
    await world.admin.execute("UPDATE vendor_turns SET next_at = now() - interval '1 hour'")
    waits = await taken(world.database, 22, per_second=10)
    assert waits[-1] > 1.5, "22 turns are 2.2 s, less 0.2 s of burst and what it took to ask"


async def test_buckets_do_not_wait_for_each_other(world: TenantsAtWork) -> None:
    await taken(world.database, 5, per_second=0.1)
    assert (await taken(world.database, 1, per_second=0.1, bucket="reads"))[0] <= 0


async def test_a_clock_that_was_set_back_stops_nobody(world: TenantsAtWork) -> None:
    await taken(world.database, 1, per_second=10)
    await world.admin.execute("UPDATE vendor_turns SET next_at = now() + interval '1 day'")
    assert (await taken(world.database, 1, per_second=10))[0] <= 0


async def test_every_send_of_every_process_takes_a_turn_of_the_account(
    world: TenantsAtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float]] = []

    async def noted(_database: Any, bucket: str, per_second: float) -> float:
        asked.append((bucket, per_second))
        return 0.0

    monkeypatch.setattr(turns, "seconds_to_turn", noted)
    stripe = FakeStripe(calls_per_second=7.0)
    for number in range(3):
        await world.usage(await world.tenant(f"t-{number}"), 5)
    await asyncio.gather(
        *(flush_tenant(FakeWorker(world.database, stripe), f"t-{number}") for number in range(3))
    )
    assert [(turns.SENDS, 7.0)] * 3 == asked
    assert 3 == len(stripe.calls)
