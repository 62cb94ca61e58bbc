"""A vendor that answers with all that it was sent, headers and address included: none of our keys, no webhook
and no tenant's words are in what we make of it."""

import json
from typing import Any

import httpx
import httpx2
import pytest

from tests.unit.steps.clients import test_anthropic as model
from tests.unit.steps.clients import test_discord as chat
from tests.unit.steps.clients import test_stripe as billing

STATUSES = (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 529)


def said(error: Exception) -> str:
    """All that could be logged, stored or sent of it."""
    parts = (error, error.__cause__, error.__context__)
    return " ".join(f"{part} {part!r} {getattr(part, '__dict__', '')}" for part in parts)


def echo(request: Any) -> str:
    return f"{request.url} {dict(request.headers)} {request.content.decode()} {json.dumps(str(request.url))}"


@pytest.mark.parametrize("status", STATUSES)
async def test_stripe(status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        words = echo(request)
        error = {"message": words, "type": "invalid_request_error", "param": words, "doc_url": words}
        return httpx.Response(status, json={"error": error})

    assert billing.KEY not in said(await billing.failure_of(answer))


@pytest.mark.parametrize("status", STATUSES)
async def test_anthropic(status: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        words = echo(request)
        return httpx2.Response(status, json={"type": "error", "error": {"type": words, "message": words}})

    told = said(await model.failure_of(answer))
    assert model.KEY not in told
    assert "secret wishes" not in told


@pytest.mark.parametrize("status", STATUSES)
async def test_discord(status: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"message": echo(request), "code": echo(request)})

    told = said(await chat.failure_of(answer))
    assert chat.URL not in told
    assert chat.URL.rpartition("/")[2] not in told
