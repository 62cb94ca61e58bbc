"""A tenant is being added, or taken back, when the process dies at each of its calls to Stripe."""

import pytest

from tests.crash.points_run import run
from tests.crash.points_stages import Stage
from tests.crash.points_tenants import IsAdded, IsTakenBack
from tests.kit.mortal import Mortal, verdict

pytestmark = pytest.mark.services

ADDING = 8
"""Calls for a tenant that is added: customers listed, one made; meters and prices listed, product and price
made; subscriptions listed, one made."""
TAKING_BACK = 3
"""More: customers listed, looked at, deleted."""


@pytest.mark.timeout(300)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("moment", ["before", "answered"])
@pytest.mark.parametrize(
    ("scene", "calls"), [(IsAdded, ADDING), (IsTakenBack, ADDING + TAKING_BACK)], ids=["added", "taken back"]
)
async def test_there_is_one_customer_or_none(
    mortal: Mortal, scene: type[IsAdded], calls: int, moment: str
) -> None:
    points = [f"call.stripe:{moment}#{number}" for number in range(2, calls + 1)]
    await run(mortal.system, Stage("steps", 1, tuple((point, scene) for point in points)))
    assert [] == await verdict(mortal)
