"""How often a vendor's account is called, by all processes together: a token bucket in the database."""

import asyncio

from contracts.process.postgres import Database
from steps.billing.ports import Readable

SENDS = "stripe.meter_events"
READS = "stripe.event_summaries"
INVOICES = "stripe.invoices"

INVOICES_SHARE = 0.8
"""Of the reads. Each stands for up to six calls that read one invoice, or give one refund back."""

BURST_SECONDS = 0.2
"""After a pause so much is made up for at once. In no second are there more turns than 1.2 times the rate."""

LONGEST_SECONDS = 600.0
"""A turn further off than this is the work of a clock that was set back: it is forgotten."""

# The commit waits for no disk, so that who takes a turn is not in the way of the next one. After a crash of
# the database a few turns are given out twice.
_TAKE = """
WITH hasty AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO vendor_turns AS v (bucket, next_at)
SELECT $1, clock_timestamp() + make_interval(secs => $2) FROM hasty
ON CONFLICT (bucket) DO UPDATE
SET next_at = make_interval(secs => $2) + CASE
    WHEN v.next_at > clock_timestamp() + make_interval(secs => $4) THEN clock_timestamp()
    ELSE greatest(v.next_at, clock_timestamp() - make_interval(secs => $3)) END
RETURNING extract(epoch FROM next_at - make_interval(secs => $2) - clock_timestamp())::float8
"""


async def seconds_to_turn(database: Database, bucket: str, per_second: float) -> float:
    """Takes a turn, and says how long it is off; 0 or less = now. A turn that nobody uses is lost."""
    async with database.transaction(name="flush.turn") as connection:
        found = await connection.fetchval(_TAKE, bucket, 1 / per_second, BURST_SECONDS, LONGEST_SECONDS)
    return float(found)


async def wait_for_turn(database: Database, bucket: str, per_second: float) -> None:
    """Returns when one call may be made. Who comes first goes first, whatever its process or tenant."""
    await asyncio.sleep(max(0.0, await seconds_to_turn(database, bucket, per_second)))


async def turn_to_read(database: Database, account: Readable) -> None:
    await wait_for_turn(database, READS, account.reads_per_second)


async def turn_at_invoices(database: Database, account: Readable) -> None:
    await wait_for_turn(database, INVOICES, account.reads_per_second * INVOICES_SHARE)
