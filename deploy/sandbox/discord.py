"""Discord's execute-webhook call (Discord API v10: webhook resource, rate limits, status codes)."""

import hmac
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import parse_qs

import orjson

from deploy.sandbox.discord_limits import breaches
from deploy.sandbox.faults import Fault
from deploy.sandbox.state import State
from deploy.sandbox.wire import Answer, Call, Json, RefusedError

# Snowflakes count milliseconds from this moment (first second of 2015).
DISCORD_EPOCH_SECONDS = 1_420_070_400
ERRORS = {
    400: (50035, "Invalid Form Body"),
    401: (50027, "Invalid Webhook Token"),
    403: (50013, "Missing Permissions"),
    404: (10015, "Unknown Webhook"),
}


class Discord:
    """One rate-limit bucket a webhook; a refused or failed call uses it up as well."""

    latency_setting = "discord_latency_seconds"

    def __init__(self, state: State) -> None:
        self._state = state

    def identifier(self, call: Call) -> str | None:
        return call.ids["id"]

    @contextmanager
    def hold(self, call: Call) -> Iterator[None]:
        webhook = self._state.one("SELECT token FROM discord_webhook WHERE id = ?", call.ids["id"])
        if webhook is None:
            raise RefusedError(failure(404))
        if not hmac.compare_digest(webhook["token"].encode(), call.ids["token"].encode()):
            raise RefusedError(failure(401))
        self._take(call.ids["id"])
        yield

    def handle(self, call: Call, fault: Fault | None) -> Answer:  # noqa: ARG002 - faults of this vendor are general
        request = parsed(call.body)
        if errors := breaches(request):
            raise RefusedError(failure(400, errors))
        if not any(request.get(name) for name in ("content", "embeds", "components", "poll")):
            raise RefusedError(Answer(400, {"message": "Cannot send an empty message", "code": 50006}))
        now = self._state.now()
        seq = self._state.run(
            "INSERT INTO discord_message (webhook, received_at, body) VALUES (?, ?, ?)",
            *(call.ids["id"], now, json.dumps(request, ensure_ascii=False)),
        )
        headers = self._headers(call.ids["id"])
        if parse_qs(call.query).get("wait", ["false"])[0].lower() not in {"true", "1"}:
            return Answer(204, None, headers)
        return Answer(200, message(call.ids["id"], request, seq, now), headers)

    def keep(self, call: Call, answer: Answer, *, replace: bool) -> None:
        """Nothing is remembered: webhooks know no idempotency key."""

    def failure(self, status: int, retry_after: float | None) -> Answer:
        return (
            limited(retry_after or 1.0, self._limit_headers("fault", 0)) if status == 429 else failure(status)
        )

    def _take(self, webhook: str) -> None:
        settings, now = self._state.settings, self._state.now()
        opened_at, used = self._bucket(webhook)
        if now - opened_at >= settings.discord_bucket_seconds:
            opened_at, used = now, 0
        if used >= settings.discord_bucket_limit:
            left = opened_at + settings.discord_bucket_seconds - now
            raise RefusedError(limited(left, self._headers(webhook)))
        self._state.run(
            "INSERT OR REPLACE INTO discord_bucket VALUES (?, ?, ?)", webhook, opened_at, used + 1
        )

    def _bucket(self, webhook: str) -> tuple[float, int]:
        row = self._state.one("SELECT opened_at, used FROM discord_bucket WHERE webhook = ?", webhook)
        return (row["opened_at"], row["used"]) if row else (self._state.now(), 0)

    def _headers(self, webhook: str) -> dict[str, str]:
        opened_at, used = self._bucket(webhook)
        left = max(0.0, opened_at + self._state.settings.discord_bucket_seconds - self._state.now())
        return self._limit_headers(webhook, max(0, self._state.settings.discord_bucket_limit - used), left)

    def _limit_headers(self, bucket: str, remaining: int, reset_after: float = 1.0) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self._state.settings.discord_bucket_limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": f"{self._state.now() + reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{reset_after:.3f}",
            "X-RateLimit-Bucket": f"webhook-{bucket}",
        }


def limited(retry_after: float, headers: dict[str, str]) -> Answer:
    """The header holds whole seconds, the body the exact wait."""
    body = {"message": "You are being rate limited.", "retry_after": round(retry_after, 3), "global": False}
    return Answer(
        429,
        body,
        {**headers, "Retry-After": str(math.ceil(retry_after)), "X-RateLimit-Scope": "user"},
    )


def failure(status: int, errors: Json | None = None) -> Answer:
    code, text = ERRORS.get(
        status, (0, f"{status}: Internal Server Error" if status >= 500 else f"{status}: Refused")
    )
    body: Json = {"message": text, "code": code}
    return Answer(status, body if errors is None else {**body, "errors": errors})


def parsed(body: str) -> Json:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        request = None
    if not isinstance(request, dict):
        text = "The request body contains invalid JSON."
        raise RefusedError(Answer(400, {"message": text, "code": 50109}))
    return request


def message(webhook: str, request: Json, seq: int, now: float) -> Json:
    return {
        "id": str((int((now - DISCORD_EPOCH_SECONDS) * 1000) << 22) + seq),
        "type": 0,
        "channel_id": webhook,
        "webhook_id": webhook,
        "content": request.get("content") or "",
        "embeds": [{"type": "rich", **embed} for embed in request.get("embeds") or []],
        "author": {
            "id": webhook,
            "username": request.get("username") or "Leads",
            "bot": True,
            "avatar": None,
        },
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
        "edited_timestamp": None,
        "attachments": [],
        "components": request.get("components") or [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": bool(request.get("tts")),
        "flags": 0,
    }
