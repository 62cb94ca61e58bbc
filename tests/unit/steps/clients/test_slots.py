"""Calls to the model wait for their tenant's turn, and tenants that have none are forgotten."""

import asyncio
import gc

import pytest

from steps.clients.model import Slots


def deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_tenant_waits_for_its_own_calls_and_for_no_other_tenants() -> None:
    slots = Slots(8)
    async with slots.take("acme", 1, deadline(9)):
        async with slots.take("blue", 1, deadline(9)):
            pass
        with pytest.raises(TimeoutError):
            async with slots.take("acme", 1, deadline(0.01)):
                pass
    async with slots.take("acme", 1, deadline(9)):
        pass


async def test_tenants_that_have_no_calls_take_no_memory() -> None:
    slots = Slots(8)
    for number in range(100):
        async with slots.take(f"t-{number}", 4, deadline(9)):
            pass
    gc.collect()
    assert 0 == len(slots._tenants)
