"""One call to Stripe, and what is known after it.

'sending' means that a call may have been taken. A yes settles that, or a refusal under the same idempotency
key (Stripe replays the first result of a key). `attempts` fences: what a call that was given up for lost
reports late changes nothing, except that a yes is always true.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.process import logs
from contracts.process.postgres import Database
from steps.billing import flags, turns
from steps.billing.intents import Intent
from steps.billing.ports import UsageMeter
from steps.billing.settings import IDENTIFIER_HOURS, Pace
from steps.clients.billing import UsageUnknown
from steps.runtime import observe
from steps.runtime.step import Connection

log = logs.get("flush")

_HOLD = """
UPDATE intents SET state = 'ambiguous', retry_at = NULL
WHERE tenant_id = $1 AND state = 'sending' AND coalesce(retry_at, now()) <= now()
    AND first_sent_at < now() - make_interval(hours => $2)
RETURNING intent_id
"""

_BEGIN = """
UPDATE intents SET state = 'sending', attempts = attempts + 1, first_sent_at = coalesce(first_sent_at, now()),
    first_key = coalesce(first_key, key_generation), retry_at = now() + make_interval(secs => $5)
WHERE tenant_id = $1 AND intent_id = $2 AND state = $3 AND attempts = $4
    AND coalesce(retry_at, now()) <= now()
    AND coalesce(first_sent_at, now()) > now() - make_interval(hours => $6)
RETURNING attempts
"""

_CONFIRM = """
UPDATE intents SET state = 'confirmed', settled_at = now(), retry_at = NULL, error = NULL
WHERE tenant_id = $1 AND intent_id = $2 AND state IN ('pending', 'sending', 'ambiguous')
"""

_AGAIN = """
UPDATE intents SET state = $4, retry_at = now() + make_interval(secs => $5), error = $6,
    key_generation = key_generation + $7,
    first_sent_at = CASE WHEN $4 = 'sending' THEN first_sent_at END,
    first_key = CASE WHEN $4 = 'sending' THEN first_key END
WHERE tenant_id = $1 AND intent_id = $2 AND attempts = $3 AND state = 'sending'
"""

_REJECT = """
UPDATE intents SET state = 'rejected', settled_at = now(), retry_at = NULL, error = $4,
    first_sent_at = NULL, first_key = NULL
WHERE tenant_id = $1 AND intent_id = $2 AND attempts = $3 AND state = 'sending'
RETURNING true
"""


async def hold_forgotten(connection: Connection, tenant_id: str) -> None:
    """Doubtful intents whose identifier Stripe may soon forget are held until its totals settle them, for
    another call could bill twice."""
    for row in await connection.fetch(_HOLD, tenant_id, IDENTIFIER_HOURS):
        log.warning("intent_ambiguous", tenant=tenant_id, intent=str(row["intent_id"]))


async def send(database: Database, meter: UsageMeter, intent: Intent, pace: Pace) -> None:
    """Calls Stripe once, when it is this call's turn, and commits what that proved. A process that dies in
    between leaves 'sending', and the same identifier is sent again when the lease is over."""
    await turns.wait_for_turn(database, turns.SENDS, meter.calls_per_second)
    async with database.transaction(intent.tenant_id, name="flush.begin") as connection:
        attempt = await connection.fetchval(
            _BEGIN,
            intent.tenant_id,
            intent.intent_id,
            intent.state,
            intent.attempts,
            pace.lease,
            IDENTIFIER_HOURS,
        )
    if attempt is None:
        return  # another process was faster, or the turn came too late
    error = await _call(meter, intent, pace.call_seconds)
    if error is not None:
        log.warning(
            "usage_not_sent", tenant=intent.tenant_id, intent=str(intent.intent_id), error=error.error
        )
    settle = _settlement(intent, attempt, error, pace)
    async with database.transaction(intent.tenant_id, name="flush.settle") as connection:
        await settle(connection)


async def _call(meter: UsageMeter, intent: Intent, seconds: float) -> StepError | None:
    try:
        async with asyncio.timeout(seconds):
            await meter.send_usage(
                identifier=intent.identifier,
                customer=intent.customer,
                event_name=intent.event_name,
                value=intent.value,
                at=intent.event_at,
                idempotency_key=intent.idempotency_key,
            )
    except StepError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever broke the call, it may have been taken
        log.warning("usage_call_failed", tenant=intent.tenant_id, **logs.fault(error))
        return StepUnknown("the call to Stripe broke off", error=type(error).__name__)
    return None


def _settlement(
    intent: Intent, attempt: int, error: StepError | None, pace: Pace
) -> Callable[[Connection], Awaitable[Any]]:
    key = (intent.tenant_id, intent.intent_id)
    if error is None:
        return lambda connection: confirm(connection, *key)
    if isinstance(error, StepRejected) and intent.refusal_is_proof:
        return lambda connection: _reject(connection, intent, attempt, error)
    # What one call proves of itself says nothing of an earlier one: that stays open, and the same
    # identifier is sent again while that is safe.
    surely_not = isinstance(error, StepTransient) and not intent.perhaps_taken
    rotate = int(isinstance(error, UsageUnknown) and error.stored)
    wait = pace.retry.delay(
        attempt,
        draw=random.random(),  # noqa: S311 - spreads load, protects nothing
        retry_after=error.retry_after if isinstance(error, StepTransient) else None,
    )
    state = "pending" if surely_not else "sending"
    return lambda connection: connection.execute(_AGAIN, *key, attempt, state, wait, _text(error), rotate)


async def confirm(connection: Connection, tenant_id: str, intent_id: UUID) -> None:
    """Stripe has it."""
    await connection.execute(_CONFIRM, tenant_id, intent_id)
    await flags.clear_flag(connection, tenant_id)


async def _reject(connection: Connection, intent: Intent, attempt: int, error: StepRejected) -> None:
    key = intent.tenant_id, intent.intent_id
    if await connection.fetchval(_REJECT, *key, attempt, _text(error)):
        observe.REFUSED.inc()
        await flags.raise_flag(connection, *key, error)


def _text(error: StepError) -> str:
    return f"{error.error}: {error.reason}"[:500]
