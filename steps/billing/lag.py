"""How late billing is, and what its books say, for the process's metrics."""

from contracts.process.postgres import Database
from steps.runtime import observe

_LAG = """
SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 FROM work_due WHERE kind = 'flush'
"""

_BOOKS = """
SELECT coalesce(sum(weight), 0)::float8 AS findings,
    coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS age
FROM work_due WHERE kind = 'reconcile'
"""


async def flush_lag(database: Database) -> float:
    """Seconds that the oldest usage not confirmed by Stripe (or answer owed) of any tenant has waited; 0 when
    none waits. What Stripe refused is parked and does not count."""
    async with database.transaction(name="flush.lag") as connection:
        return float(await connection.fetchval(_LAG))


async def show_lag(database: Database) -> None:
    observe.FLUSH_LAG.set(await flush_lag(database))
    async with database.transaction(name="reconcile.lag") as connection:
        books = await connection.fetchrow(_BOOKS)
    observe.FINDINGS.set(books["findings"])
    observe.RECONCILED.set(books["age"])
