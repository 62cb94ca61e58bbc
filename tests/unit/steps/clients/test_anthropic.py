"""What the Anthropic client asks for, and what it makes of every way the vendor can answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from contracts.process.settings import BadSettings
from steps.clients.anthropic import MAX_TOKENS, AnthropicSettings, open_model
from steps.clients.model import Model, ModelAnswer, ModelAway, ModelRefused, Prompt, Slots

PROMPT = Prompt(system="be useful", user="the secret wishes of a tenant")
KEY = "sk-ant-very-secret"
SCHEMA = {"type": "object"}
Handler = Callable[[httpx2.Request], Any]


def message(**changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [{"type": "text", "text": '{"leads": []}'}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 2},
    } | changes


@asynccontextmanager
async def model_over(handler: Handler, seconds: float = 5) -> AsyncIterator[Model]:
    settings = AnthropicSettings(
        anthropic_api_key=SecretStr(KEY), anthropic_base_url="http://vendor.test", model_call_timeout=seconds
    )
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as http,
        open_model(settings, http) as model,
    ):
        yield model


async def failure_of(handler: Handler, seconds: float = 5) -> ModelAway | ModelRefused:
    async with model_over(handler, seconds) as model:
        with pytest.raises((ModelAway, ModelRefused)) as caught:
            await model.call(PROMPT, SCHEMA, 100)
    assert isinstance(caught.value, ModelAway | ModelRefused)
    return caught.value


def refusing(status: int, *, headers: dict[str, str] | None = None, **error: Any) -> Handler:
    body = {"type": "error", "error": {"type": "some_error", "message": "internal words"} | error}
    return lambda _: httpx2.Response(status, json=body, headers={"request-id": "req_7"} | (headers or {}))


async def asked(handler: Handler) -> ModelAnswer:
    async with model_over(handler) as model:
        return await model.call(PROMPT, SCHEMA, 100_000)


async def test_a_call_asks_for_structured_output_without_sampling_and_within_the_sdks_limit() -> None:
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json=message())

    await asked(answer)
    expected = {
        "model": "claude-sonnet-5-5",
        "max_tokens": MAX_TOKENS,
        "system": PROMPT.system,
        "messages": [{"role": "user", "content": PROMPT.user}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }
    assert [expected] == bodies


async def test_an_answer_carries_text_stop_reason_tokens_and_the_providers_request_id() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    body = message(content=content, stop_reason="max_tokens", model="claude-sonnet-5-5-20261001")
    answer = await asked(lambda _: httpx2.Response(200, json=body, headers={"request-id": "req_9"}))
    assert ("ab", "max_tokens", "claude-sonnet-5-5-20261001", "req_9") == (
        answer.text,
        answer.stop_reason,
        answer.model,
        answer.request_id,
    )
    assert {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 2} == dict(answer.usage)


async def test_a_refusal_of_the_model_is_an_answer_and_no_error() -> None:
    answer = await asked(lambda _: httpx2.Response(200, json=message(content=[], stop_reason="refusal")))
    assert ("", "refusal") == (answer.text, answer.stop_reason)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_or_is_our_own_fault_is_transient(status: int) -> None:
    error = await failure_of(refusing(status))
    assert isinstance(error, ModelAway)
    assert "req_7" == error.report.request_id


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_provider_says_of_the_request_itself_is_a_rejection(status: int) -> None:
    error = await failure_of(refusing(status))
    assert isinstance(error, ModelRefused)
    assert "the model's provider refused the request" == error.reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
async def test_a_busy_provider_is_heeded_as_long_as_it_says(
    headers: dict[str, str], seconds: float | None
) -> None:
    error = await failure_of(refusing(429, headers=headers))
    assert isinstance(error, ModelAway)
    assert seconds == error.retry_after


@pytest.mark.parametrize(
    "handler",
    [
        refusing(429, details={"error_code": "enforced_spend_limit_reached"}),
        refusing(402, details={"error_code": "linked_organization_spend_limit_reached"}),
        refusing(400, message="You have reached your specified API usage limits."),
    ],
)
async def test_a_spending_limit_is_not_tried_again(handler: Handler) -> None:
    error = await failure_of(handler)
    assert isinstance(error, ModelRefused)
    assert "lead generation is out of order on our side" == error.reason


async def test_a_call_that_hangs_ends_at_its_limit_and_tells_what_is_known() -> None:
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    error = await failure_of(hang, seconds=0.05)
    assert isinstance(error, ModelAway)
    assert (True, "claude-sonnet-5-5") == (error.report.timed_out, error.report.model)
    assert error.report.seconds >= 0.05


async def test_a_caller_may_shorten_the_limit_of_a_call() -> None:
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with model_over(hang, seconds=60) as model:
        with pytest.raises(ModelAway, match="in time"):
            await model.call(PROMPT, SCHEMA, 100, within=0.02)


@pytest.mark.parametrize("lost", [httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError])
async def test_a_lost_connection_is_transient_and_asked_only_once(lost: type[httpx2.TransportError]) -> None:
    calls = 0

    def drop(_: httpx2.Request) -> httpx2.Response:
        nonlocal calls
        calls += 1
        raise lost("gone")

    error = await failure_of(drop)
    assert isinstance(error, ModelAway)
    assert (1, "the model could not be reached") == (calls, error.reason)


@pytest.mark.parametrize("answer", [{"text": "<html>"}, {"json": ["leads"]}, {"json": {"content": None}}])
async def test_a_success_that_is_no_message_is_transient(answer: dict[str, Any]) -> None:
    error = await failure_of(lambda _: httpx2.Response(200, **answer))
    assert isinstance(error, ModelAway)


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_no_error_tells_the_prompt_the_key_or_the_vendors_words(status: int) -> None:
    error = await failure_of(refusing(status))
    seen = f"{error!r} {error.error} {error.__cause__!r} {error.__context__!r}"
    for secret in (PROMPT.user, KEY, "internal words"):
        assert secret not in seen


async def test_without_a_key_and_a_stand_in_nothing_starts() -> None:
    with pytest.raises(BadSettings) as caught:
        async with open_model(AnthropicSettings(anthropic_api_key=None, anthropic_base_url=None)):
            pass
    assert ["ANTHROPIC_API_KEY is not set, nor LEADSAGA_ANTHROPIC_BASE_URL"] == caught.value.faults


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "LEADSAGA_ANTHROPIC_API_KEY"])
def test_the_key_is_read_under_both_names_and_never_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv(name, KEY)
    settings = AnthropicSettings()
    assert settings.anthropic_api_key is not None
    assert KEY == settings.anthropic_api_key.get_secret_value()
    assert KEY not in repr(settings)


async def test_a_slot_that_does_not_come_in_time_raises_and_is_not_kept() -> None:
    slots, loop = Slots(1), asyncio.get_running_loop()
    async with slots.take("acme", 4, loop.time() + 5):
        with pytest.raises(TimeoutError):
            async with slots.take("other", 4, loop.time() + 0.01):
                pytest.fail("the only slot is taken")
    async with slots.take("other", 1, loop.time() + 5):
        pass
