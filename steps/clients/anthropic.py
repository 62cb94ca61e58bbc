"""Anthropic's Messages API. The one file that knows its SDK; its errors become our outcomes here.

Errors and statuses: platform.claude.com, API reference "Errors". The SDK repeats nothing for us: every call
is paid for, and it sends no idempotency key.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import anthropic
import httpx2
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from contracts.process import crash
from contracts.process.settings import BadSettings, Settings, load
from steps.clients.model import CallReport, Model, ModelAnswer, ModelAway, ModelRefused, Prompt, Slots

VENDOR_URL = "https://api.anthropic.com"
MAX_TOKENS = 21_333
"""The SDK refuses more without streaming."""

NO_ANSWER_IN_TIME = "the model did not answer in time"
NOT_REACHED = "the model could not be reached"
BUSY = "the model is busy"
FAILED = "the model failed"
OUT_OF_ORDER = "lead generation is out of order on our side"
REFUSED = "the model's provider refused the request"

MISCONFIGURED = frozenset({401, 402, 403, 404})
"""Our key, our bill or the name of our model is wrong: no fault of the request, and perhaps mended while it
waits, so another attempt is worth it. What the provider says of the request itself stays true."""
BUSY_STATUSES = frozenset({408, 409, 429, 503, 529})


class AnthropicSettings(Settings):
    model_config = SettingsConfigDict(env_ignore_empty=True, validate_by_name=True, validate_by_alias=True)

    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ANTHROPIC_API_KEY", "LEADSAGA_ANTHROPIC_API_KEY")
    )
    """Of the account that pays for the model; needed unless a stand-in is set."""
    anthropic_base_url: str | None = None
    """A stand-in for the vendor; it needs no key."""
    model: str = Field(default="claude-sonnet-5-5", min_length=1)
    """Which model generates leads."""
    model_call_timeout: float = Field(default=30.0, gt=0)
    """Seconds from the first byte sent to the last byte received."""
    model_calls: int = Field(default=16, ge=1)
    """Side by side in this process, of all tenants."""


class UnreadableAnswerError(anthropic.AnthropicError):
    """What answered with success is not the Messages API."""


@dataclass(frozen=True, slots=True)
class AnthropicModel:
    sdk: anthropic.AsyncAnthropic
    model: str
    call_timeout: float
    slots: Slots

    async def call(
        self, prompt: Prompt, schema: Mapping[str, Any], max_tokens: int, *, within: float | None = None
    ) -> ModelAnswer:
        started_at, begun = datetime.now(UTC), time.monotonic()
        seconds = self.call_timeout if within is None else min(self.call_timeout, within)
        try:
            message = await self._create(prompt, schema, max_tokens, seconds)
        except (anthropic.AnthropicError, TimeoutError) as error:
            failure = error
        else:
            return ModelAnswer(
                text="".join(block.text for block in message.content if block.type == "text"),
                stop_reason=message.stop_reason,
                model=message.model,
                usage=message.usage.to_dict(),
                request_id=message._request_id,  # noqa: SLF001 - the SDK's documented name
                started_at=started_at,
                seconds=time.monotonic() - begun,
            )
        report = CallReport(
            model=self.model,
            request_id=getattr(failure, "request_id", None),
            started_at=started_at,
            seconds=time.monotonic() - begun,
            timed_out=isinstance(failure, TimeoutError | anthropic.APITimeoutError),
        )
        # Raised outside of the except block, because the SDK's error holds the request and so the prompt.
        raise mapped(failure, report)

    async def _create(
        self, prompt: Prompt, schema: Mapping[str, Any], max_tokens: int, seconds: float
    ) -> anthropic.types.Message:
        # The SDK's own limit counts from one byte to the next: a trickle would never end.
        async with asyncio.timeout(seconds), crash.around("call.anthropic", "answered"):
            message = await self.sdk.messages.create(
                model=self.model,
                max_tokens=min(max_tokens, MAX_TOKENS),
                system=prompt.system,
                messages=[{"role": "user", "content": prompt.user}],
                output_config={"format": {"type": "json_schema", "schema": dict(schema)}},
                timeout=seconds,
            )
        # The SDK does not check what it was sent.
        if not isinstance(getattr(message, "content", None), list) or getattr(message, "usage", None) is None:
            raise UnreadableAnswerError(UnreadableAnswerError.__doc__)
        return message


def mapped(error: Exception, report: CallReport) -> ModelAway | ModelRefused:
    name = type(error).__name__
    if report.timed_out:
        return ModelAway(NO_ANSWER_IN_TIME, report, error=name)
    if isinstance(error, anthropic.APIStatusError):
        return _status_mapped(error, report)
    if isinstance(error, anthropic.APIConnectionError):
        return ModelAway(NOT_REACHED, report, error=name)
    return ModelAway(FAILED, report, error=name)


def _status_mapped(error: anthropic.APIStatusError, report: CallReport) -> ModelAway | ModelRefused:
    name, status = type(error).__name__, error.status_code
    if _spending_ended(error):
        # It lasts until somebody raises the limit or the month ends: no attempt of this saga would see that.
        return ModelRefused(OUT_OF_ORDER, report, error=error.error_code or "SpendLimitReached")
    if status in MISCONFIGURED:
        return ModelAway(OUT_OF_ORDER, report, error=name)
    if status in BUSY_STATUSES:
        return ModelAway(BUSY, report, error=name, retry_after=_retry_after(error.response.headers))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ModelAway(FAILED, report, error=name, retry_after=_retry_after(error.response.headers))
    if status >= HTTPStatus.BAD_REQUEST:
        return ModelRefused(REFUSED, report, error=name)
    return ModelAway(FAILED, report, error=name)


def _spending_ended(error: anthropic.APIStatusError) -> bool:
    """Limits that the vendor sets have a code; those that we set ourselves come as a 400 without one."""
    if (error.error_code or "").endswith("spend_limit_reached"):
        return True
    return error.status_code == HTTPStatus.BAD_REQUEST and "usage limit" in (error.api_message or "").lower()


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds. A date instead of a number is not heeded: clocks differ."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < math.inf:
            return seconds
    return None


@asynccontextmanager
async def open_model(
    settings: AnthropicSettings | None = None, http_client: httpx2.AsyncClient | None = None
) -> AsyncIterator[Model]:
    """Raises BadSettings when there is neither a key nor a stand-in."""
    settings = settings or load(AnthropicSettings)
    if settings.anthropic_api_key is None and settings.anthropic_base_url is None:
        raise BadSettings(["ANTHROPIC_API_KEY is not set, nor LEADSAGA_ANTHROPIC_BASE_URL"])
    key = settings.anthropic_api_key
    sdk = anthropic.AsyncAnthropic(
        api_key=key.get_secret_value() if key else "stand-in",
        base_url=settings.anthropic_base_url or VENDOR_URL,
        timeout=settings.model_call_timeout,
        max_retries=0,
        open_telemetry=False,
        http_client=http_client,
    )
    async with sdk:
        yield AnthropicModel(sdk, settings.model, settings.model_call_timeout, Slots(settings.model_calls))
