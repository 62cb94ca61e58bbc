"""Anthropic's Messages API, non-streaming (platform.claude.com, API reference: messages, errors)."""

import json
import math
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from deploy.sandbox.faults import Fault
from deploy.sandbox.leads import leads_for, query_in
from deploy.sandbox.state import State
from deploy.sandbox.wire import Answer, Call, Json, RefusedError

CHARACTERS_PER_TOKEN = 4
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MESSAGES = {401: "invalid x-api-key", 429: "This request would exceed your rate limit.", 529: "Overloaded"}
FIELDS = frozenset(
    {
        *("model", "max_tokens", "messages", "cache_control", "container", "diagnostics", "inference_geo"),
        *("metadata", "output_config", "service_tier", "speed", "stop_sequences", "stream", "system"),
        *("thinking", "tool_choice", "tools", "user_profile_id", "workspace_id"),
    }
)


class Anthropic:
    latency_setting = "anthropic_latency_seconds"

    def __init__(self, state: State) -> None:
        self._state = state

    def identifier(self, call: Call) -> str | None:  # noqa: ARG002 - the API knows no business key
        return None

    @contextmanager
    def hold(self, call: Call) -> Iterator[None]:
        # The SDK sends its key as a bearer token since 2.x; plain callers send x-api-key.
        if not (call.headers.get("x-api-key") or call.headers.get("authorization", "").startswith("Bearer ")):
            raise RefusedError(failure(401, "x-api-key header is required"))
        if not call.headers.get("anthropic-version"):
            raise RefusedError(failure(400, "anthropic-version: header is required"))
        yield

    def handle(self, call: Call, fault: Fault | None) -> Answer:
        request = checked(call.body)
        prompt = prompt_of(request)
        text = answer_text(request, prompt)
        if fault and fault.text is not None:
            text = fault.text
        return self._message(request, prompt, text, fault.stop_reason if fault else None)

    def keep(self, call: Call, answer: Answer, *, replace: bool) -> None:
        """Nothing is remembered: without idempotency keys a repeated call is a new one, billed again."""

    def failure(self, status: int, retry_after: float | None) -> Answer:
        return failure(status, MESSAGES.get(status, "Internal server error"), retry_after)

    def _message(self, request: Json, prompt: str, text: str, stop_reason: str | None) -> Answer:
        limit: int = request["max_tokens"]
        if tokens(text) > limit:
            text, stop_reason = text[: limit * CHARACTERS_PER_TOKEN], "max_tokens"
        body = {
            "id": f"msg_01{secrets.token_hex(11)}",
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [{"type": "text", "text": text}] if stop_reason != "refusal" else [],
            "stop_reason": stop_reason or "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": tokens(prompt + json.dumps(request.get("output_config", {}))),
                "output_tokens": tokens(text),
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "service_tier": "standard",
            },
        }
        return Answer(200, body, {"request-id": request_id()})


def answer_text(request: Json, prompt: str) -> str:
    """Leads as JSON, with only the fields that the request's schema names for a lead."""
    wanted = lead_fields(request.get("output_config", {}).get("format", {}).get("schema", {}))
    leads = [
        {name: value for name, value in lead.items() if not wanted or name in wanted}
        for lead in leads_for(query_in(prompt))
    ]
    return json.dumps({"leads": leads}, ensure_ascii=False)


def lead_fields(schema: Json) -> set[str]:
    items = schema.get("properties", {}).get("leads", {}).get("items", {})
    if reference := items.get("$ref"):
        items = schema.get("$defs", {}).get(reference.rsplit("/", 1)[-1], {})
    return set(items.get("properties", {}))


def checked(body: str) -> Json:
    request = parsed(body)
    for name in request.keys() - FIELDS:
        raise RefusedError(failure(400, f"{name}: Extra inputs are not permitted"))
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if name not in request:
            raise RefusedError(failure(400, f"{name}: Field required"))
        if not isinstance(request[name], kind):
            raise RefusedError(failure(400, f"{name}: Input should be a valid {kind.__name__}"))
    if request["max_tokens"] < 1:
        raise RefusedError(failure(400, "max_tokens: Input should be greater than or equal to 1"))
    if not request["messages"]:
        raise RefusedError(failure(400, "messages: at least one message is required"))
    if request.get("stream"):
        raise RefusedError(failure(400, "stream: the sandbox answers whole messages only"))
    check_format(request.get("output_config"))
    return request


def check_format(output_config: Any) -> None:
    if output_config is None:
        return
    if not isinstance(output_config, dict):
        raise RefusedError(failure(400, "output_config: Input should be a valid dictionary"))
    form = output_config.get("format")
    if form is None:
        return
    if (
        not isinstance(form, dict)
        or form.get("type") != "json_schema"
        or not isinstance(form.get("schema"), dict)
    ):
        raise RefusedError(failure(400, "output_config.format: Input should be a json_schema with a schema"))


def parsed(body: str) -> Json:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusedError(failure(400, "The request body is not valid JSON")) from None
    if not isinstance(request, dict):
        raise RefusedError(failure(400, "The request body is not a JSON object"))
    return request


def prompt_of(request: Json) -> str:
    """Everything the model reads, the last user message last."""
    parts = [request.get("system") or ""] + [message.get("content", "") for message in request["messages"]]
    return "\n".join(part if isinstance(part, str) else blocks(part) for part in parts)


def blocks(content: list[Json]) -> str:
    return "\n".join(str(block.get("text", "")) for block in content)


def tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def request_id() -> str:
    return f"req_011{secrets.token_hex(10)}"


def failure(status: int, message: str, retry_after: float | None = None) -> Answer:
    identity = request_id()
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    headers = {"request-id": identity}
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": identity}
    return Answer(status, body, headers)
