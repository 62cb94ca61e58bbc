"""Events that a step listens to, each handled in a transaction of its tenant."""

from collections.abc import Sequence

import asyncpg

from contracts.events import Event
from contracts.process import logs
from steps.runtime.effects import Memory
from steps.runtime.step import Step

log = logs.get("runtime")


async def hear(memory: Memory, step: Step, events: Sequence[Event]) -> None:
    """May be called again with the same events. One that its tenant's database refuses is logged and left."""
    assert step.heard is not None
    for event in events:
        try:
            async with memory.transaction(event.tenant_id, name="heard") as effects:
                await step.heard(effects.connection, event)
        except asyncpg.IntegrityConstraintViolationError as error:
            log.warning("event_refused", step=step.name, tenant=event.tenant_id, **logs.fault(error))
