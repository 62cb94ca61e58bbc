"""Telling one tenant: at most one message an interval, each notice at most once."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Protocol

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.process import logs
from contracts.process.settings import load
from steps.clients.discord import BadWebhook, WebhookGone
from steps.notices import rows, webhook
from steps.notices.rows import Message
from steps.notices.settings import NoticeSettings, Pace
from steps.notices.texts import embed
from steps.runtime.step import Connection, Worker
from steps.work import due
from steps.work.due import Left

log = logs.get("notices")


class Chat(Protocol):
    async def post(self, url: str, embeds: Sequence[dict[str, Any]]) -> None:
        """Raises StepTransient (surely not sent), StepUnknown (perhaps sent), StepRejected (refused), and
        WebhookGone when the webhook does not exist any more."""
        ...


async def tell_tenant(worker: Worker, tenant_id: str) -> None:
    """May be broken off anywhere: what was being sent then counts as perhaps sent."""
    pace = load(NoticeSettings).pace(worker.time_scale)
    async with worker.database.transaction(tenant_id, name="notices.take") as connection:
        message = await rows.take(connection, tenant_id, patience_hours=pace.patience, lease=pace.lease)
    if message is not None:
        await _send(worker, tenant_id, message, pace)
    async with worker.database.transaction(tenant_id, name="notices.leave") as connection:

        async def look(connection: Connection) -> Left | None:
            return await rows.left(connection, tenant_id, pace.interval)

        await due.finish(connection, "notices", tenant_id, look)


async def _send(worker: Worker, tenant_id: str, message: Message, pace: Pace) -> None:
    error = await _post(worker.client, tenant_id, message, pace.call_seconds)
    if error is not None:
        log.warning("notice_not_sent", tenant=tenant_id, notices=len(message.rows), error=error.error)
    async with worker.database.transaction(tenant_id, name="notices.settle") as connection:
        await _settle(connection, tenant_id, message, error, pace)


async def _post(chat: Chat, tenant_id: str, message: Message, seconds: float) -> StepError | None:
    embeds = [embed(row["event"], row["title"], row["body"]) for row in message.rows]
    try:
        async with asyncio.timeout(seconds):
            await chat.post(message.webhook.url, embeds)
    except StepError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever broke the call, the message may be out
        log.warning("notice_call_failed", tenant=tenant_id, **logs.fault(error))
        return StepUnknown("the call to Discord broke off", error=type(error).__name__)
    return None


async def _settle(
    connection: Connection, tenant_id: str, message: Message, error: StepError | None, pace: Pace
) -> None:
    match error:
        case None:
            await rows.settle(connection, tenant_id, message, "sent")
        case StepTransient():
            wait = pace.retry.delay(
                message.attempts,
                draw=random.random(),  # noqa: S311 - spreads load, protects nothing
                retry_after=error.retry_after,
            )
            await rows.wait_again(connection, tenant_id, message, _text(error), wait)
        case WebhookGone() | BadWebhook():
            await webhook.disable(connection, tenant_id, message.webhook, _text(error))
            await rows.settle(connection, tenant_id, message, "no_webhook", _text(error))
        case StepRejected():
            await rows.settle(connection, tenant_id, message, "given_up", _text(error))
        case _:
            await rows.settle(connection, tenant_id, message, "unknown", _text(error))


def _text(error: StepError) -> str:
    return f"{error.error}: {error.reason}"[:500]
