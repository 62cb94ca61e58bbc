"""The sandbox's webhooks answer, limit and refuse as Discord documents."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from deploy.sandbox.client import SandboxAdmin

pytest_plugins = ("tests.kit.sandbox",)

TOKEN = "a-webhook-token"


@pytest_asyncio.fixture
async def http(sandbox: str, admin: SandboxAdmin) -> AsyncIterator[httpx2.AsyncClient]:
    await admin.register_webhook("77", TOKEN)
    async with httpx2.AsyncClient(base_url=f"{sandbox}/discord/api/webhooks") as client:
        yield client


async def post(http: httpx2.AsyncClient, body: dict[str, Any], *, wait: bool = False) -> httpx2.Response:
    return await http.post(f"/77/{TOKEN}", json=body, params={"wait": "true"} if wait else {})


async def test_a_message_is_stored_and_answered_by_204(http: httpx2.AsyncClient, admin: SandboxAdmin) -> None:
    answer = await post(http, {"content": "5 leads are ready", "allowed_mentions": {"parse": []}})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("5", "4")
    (message,) = await admin.messages("77")
    assert message["body"]["content"] == "5 leads are ready"


async def test_wait_answers_the_message(http: httpx2.AsyncClient) -> None:
    answer = await post(http, {"embeds": [{"title": "Ready"}]}, wait=True)
    assert answer.status_code == 200
    assert (answer.json()["webhook_id"], answer.json()["embeds"][0]["title"]) == ("77", "Ready")
    assert int(answer.json()["id"]) > 2**60


async def test_the_sixth_message_within_the_window_is_429_and_says_how_long_to_wait(
    http: httpx2.AsyncClient, admin: SandboxAdmin
) -> None:
    await admin.settings(discord_bucket_seconds=30.0)
    answers = [await post(http, {"content": "x"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [204] * 5 + [429]
    limited = answers[-1]
    assert 0 < limited.json()["retry_after"] <= 30
    assert limited.json()["global"] is False
    assert 1 <= int(limited.headers["retry-after"]) <= 30
    assert (limited.headers["x-ratelimit-remaining"], limited.headers["x-ratelimit-scope"]) == ("0", "user")
    assert len(await admin.messages()) == 5


async def test_an_unknown_webhook_is_404_and_a_wrong_token_401(http: httpx2.AsyncClient) -> None:
    unknown = await http.post("/78/whatever", json={"content": "x"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, 10015)
    wrong = await http.post("/77/whatever", json={"content": "x"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, 50027)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": "x" * 2_001}, "content"),
        ({"content": "x", "username": "u" * 81}, "username"),
        ({"embeds": [{"title": "t"}] * 11}, "embeds"),
        ({"embeds": [{"title": "t" * 257}]}, "embeds"),
        ({"embeds": [{"description": "d" * 4_096}, {"description": "d" * 1_905}]}, "embeds"),
        ({"embeds": [{"fields": [{"name": "n", "value": "v" * 1_025}]}]}, "embeds"),
        ({"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]}, "embeds"),
        ({"embeds": [{"footer": {"text": "f" * 2_049}}]}, "embeds"),
        ({"embeds": [{"color": 0x1000000}]}, "embeds"),
    ],
)
async def test_a_breach_of_the_limits_is_400_and_names_the_field(
    http: httpx2.AsyncClient, admin: SandboxAdmin, body: dict[str, Any], field: str
) -> None:
    answer = await post(http, body)
    assert (400, 50035, [field]) == (
        answer.status_code,
        answer.json()["code"],
        list(answer.json()["errors"]),
    )
    assert await admin.messages() == []


async def test_a_message_at_the_limits_is_accepted(http: httpx2.AsyncClient) -> None:
    embeds = [{"description": "d" * 4_096}, {"description": "d" * 1_904}]
    assert (await post(http, {"content": "x" * 2_000, "embeds": embeds})).status_code == 204


async def test_an_empty_message_and_a_broken_body_are_400(http: httpx2.AsyncClient) -> None:
    assert (await post(http, {"content": ""})).json()["code"] == 50006
    broken = await http.post(f"/77/{TOKEN}", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, 50109)


async def test_an_ordered_429_carries_the_wait(http: httpx2.AsyncClient, admin: SandboxAdmin) -> None:
    await admin.fault("discord.webhook", status=429, retry_after=1.5, times=1)
    answer = await post(http, {"content": "x"})
    assert (answer.json()["retry_after"], answer.headers["retry-after"]) == (1.5, "2")


async def test_the_webhooks_token_is_not_shown_to_the_admin(
    http: httpx2.AsyncClient, admin: SandboxAdmin
) -> None:
    await post(http, {"content": "x"})
    (call,) = await admin.calls("discord.webhook")
    assert call["path"] == "/discord/api/webhooks/77/{token}"
    assert TOKEN not in json.dumps([call, *await admin.messages()])
