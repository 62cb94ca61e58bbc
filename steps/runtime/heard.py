"""Events that a step listens to, each handled in a transaction of its tenant."""

from collections.abc import Sequence

import asyncpg

from contracts.events import Event
from contracts.process import logs
from contracts.process.postgres import Database
from steps.runtime.step import Step

log = logs.get("runtime")


async def hear(database: Database, step: Step, events: Sequence[Event]) -> None:
    """May be called again with the same events. One that its tenant's database refuses is logged and left."""
    assert step.heard is not None
    for event in events:
        try:
            async with database.transaction(event.tenant_id) as connection:
                await step.heard(connection, event)
        except asyncpg.IntegrityConstraintViolationError as error:
            log.warning("event_refused", step=step.name, tenant=event.tenant_id, **logs.fault(error))
