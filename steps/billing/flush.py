"""Reporting one tenant's usage: what is open is settled first, then the rest goes out, slice after slice."""

from contracts.process.settings import load
from steps.billing import answers, doubts, intents, refunds, settle
from steps.billing.due import left_to_flush
from steps.billing.settings import FlushSettings, Pace
from steps.runtime.step import Connection, Worker
from steps.work import due
from steps.work.due import Left


async def flush_tenant(worker: Worker, tenant_id: str) -> None:
    """Every ledger row reaches Stripe once, whatever breaks this off and however many do it at once."""
    pace = load(FlushSettings).pace(worker.time_scale)
    async with worker.database.transaction(tenant_id, name="flush.look") as connection:
        await settle.hold_forgotten(connection, tenant_id)
        doubtful = await doubts.begin(connection, tenant_id, pace)
    await _send_open(worker, tenant_id, pace)
    for doubt in doubtful:
        await doubts.clear_up(worker.database, worker.client, doubt, pace)
    await _send_again(worker, tenant_id, pace)
    await refunds.give_back(worker, tenant_id, pace)
    if await _send_open(worker, tenant_id, pace):
        await refunds.give_back(worker, tenant_id, pace)  # did what went to a draft come in time?
    async with worker.database.transaction(tenant_id, name="flush.slices") as connection:
        planned = await intents.slices(connection, tenant_id)
    for slice_ in planned:
        async with worker.database.transaction(tenant_id, name="flush.plan") as connection:
            state = await intents.plan(connection, tenant_id, slice_, pace.grace_hours)
        if state == "pending":
            await _send_open(worker, tenant_id, pace)
    await answers.give(worker, tenant_id)
    async with worker.database.transaction(tenant_id, name="flush.leave") as connection:

        async def look(connection: Connection) -> Left | None:
            return await left_to_flush(connection, tenant_id, pace)

        await due.finish(connection, "flush", tenant_id, look)


async def _send_open(worker: Worker, tenant_id: str, pace: Pace) -> int:
    """Sends what is ripe, and answers its sagas before anything slow follows. Says how much that was."""
    async with worker.database.transaction(tenant_id, name="flush.open") as connection:
        found = await intents.open_intents(connection, tenant_id)
    ripe = [intent for intent in found if intent.ripe and intent.state != "ambiguous"]
    for intent in ripe:
        await settle.send(worker.database, worker.client, intent, pace)
        await answers.give(worker, tenant_id)
    return len(ripe)


async def _send_again(worker: Worker, tenant_id: str, pace: Pace) -> None:
    """Each refused intent that an operator asked for, one after another: a meter has one open at a time."""
    while True:
        async with worker.database.transaction(tenant_id, name="flush.revive") as connection:
            await intents.revive(connection, tenant_id, pace.grace_hours)
        if not await _send_open(worker, tenant_id, pace):
            return
