"""How late billing is, for the process's metrics."""

from contracts.process.postgres import Database
from steps.runtime.observe import FLUSH_LAG

_LAG = """
SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 FROM work_due WHERE kind = 'flush'
"""


async def flush_lag(database: Database) -> float:
    """Seconds that the oldest usage not confirmed by Stripe (or answer owed) of any tenant has waited; 0 when
    none waits. What Stripe refused is parked and does not count."""
    async with database.transaction(name="flush.lag") as connection:
        return float(await connection.fetchval(_LAG))


async def show_lag(database: Database) -> None:
    FLUSH_LAG.set(await flush_lag(database))
