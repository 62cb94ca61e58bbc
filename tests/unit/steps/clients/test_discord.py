"""What the Discord client sends, where it may send it, and what it makes of every answer."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.process.settings import BadSettings
from steps.clients.discord import (
    BadWebhook,
    Discord,
    DiscordSettings,
    WebhookGone,
    check_webhook,
    open_discord,
)

URL = "https://discord.com/api/webhooks/17/s3cret-token"
EMBEDS = [{"title": "2 leads delivered", "color": 5}]
Handler = Callable[[httpx2.Request], httpx2.Response]


@asynccontextmanager
async def discord_over(handler: Handler, base_url: str | None = None) -> AsyncIterator[Discord]:
    settings = DiscordSettings(discord_base_url=base_url)
    async with open_discord(settings, httpx2.MockTransport(handler)) as discord:
        yield discord


async def failure_of(handler: Handler) -> StepError:
    async with discord_over(handler) as discord:
        with pytest.raises(StepError) as caught:
            await discord.post(URL, EMBEDS)
    return caught.value


def answering(status: int, **answer: Any) -> Handler:
    return lambda _: httpx2.Response(status, **answer)


def raising(error: type[httpx2.RequestError]) -> Handler:
    def drop(_: httpx2.Request) -> httpx2.Response:
        raise error(f"POST {URL}")

    return drop


async def test_a_message_mentions_nobody_and_waits_until_it_is_saved() -> None:
    seen: list[tuple[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append((str(request.url), json.loads(request.content)))
        return httpx2.Response(200, json={"id": "1"})

    async with discord_over(answer) as discord:
        await discord.post(f"{URL}?thread_id=3", EMBEDS)
    expected = {"embeds": EMBEDS, "allowed_mentions": {"parse": []}}
    assert [(f"{URL}?thread_id=3&wait=true", expected)] == seen


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"json": {"retry_after": 0.65, "global": False}, "headers": {"retry-after": "1"}}, 0.65),
        ({"text": "slow down", "headers": {"retry-after": "3"}}, 3.0),
        ({"json": ["odd"]}, None),
    ],
)
async def test_a_rate_limit_tells_how_long_to_wait(answer: dict[str, Any], seconds: float | None) -> None:
    error = await failure_of(answering(429, **answer))
    assert isinstance(error, StepTransient)
    assert seconds == error.retry_after


@pytest.mark.parametrize("answer", [{"headers": {"retry-after": "3"}}, {"json": {"retry_after": 3}}])
async def test_an_overload_that_says_how_long_to_wait_surely_sent_nothing(answer: dict[str, Any]) -> None:
    error = await failure_of(answering(503, **answer))
    assert isinstance(error, StepTransient)
    assert 3.0 == error.retry_after


@pytest.mark.parametrize("lost", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout])
async def test_what_was_never_connected_was_surely_not_sent(lost: type[httpx2.RequestError]) -> None:
    assert isinstance(await failure_of(raising(lost)), StepTransient)


@pytest.mark.parametrize(
    "handler",
    [
        raising(httpx2.ReadTimeout),
        raising(httpx2.WriteError),
        raising(httpx2.ReadError),
        raising(httpx2.RemoteProtocolError),
        answering(500),
        answering(502, headers={"retry-after": "3"}),
        answering(503),
        answering(504),
    ],
)
async def test_a_call_that_broke_off_here_or_there_was_perhaps_sent(handler: Handler) -> None:
    assert isinstance(await failure_of(handler), StepUnknown)


@pytest.mark.parametrize("handler", [answering(404), answering(401, json={"code": 50027})])
async def test_a_webhook_that_is_gone_is_told_apart(handler: Handler) -> None:
    assert isinstance(await failure_of(handler), WebhookGone)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 413])
async def test_what_discord_will_never_take_is_a_rejection(status: int) -> None:
    error = await failure_of(answering(status, headers={"location": "https://evil.example"}))
    assert isinstance(error, StepRejected)
    assert not isinstance(error, WebhookGone)


@pytest.mark.parametrize("handler", [answering(400), answering(404), raising(httpx2.ReadTimeout)])
async def test_no_error_tells_the_webhooks_url(handler: Handler) -> None:
    error = await failure_of(handler)
    assert "s3cret" not in f"{error!r} {error.error} {error.__cause__!r} {error.__context__!r}"


async def test_a_client_does_not_show_what_it_holds() -> None:
    async with discord_over(answering(200)) as discord:
        assert "Discord(base_url=None)" == repr(discord)


async def test_a_message_that_says_nothing_is_not_sent() -> None:
    async with discord_over(raising(httpx2.ReadError)) as discord:
        with pytest.raises(StepRejected, match="nothing to say"):
            await discord.post(URL, [{"color": 3}])


@pytest.mark.parametrize(
    "url",
    [
        "http://discord.com/api/webhooks/1/a",
        "https://discord.com.evil.example/api/webhooks/1/a",
        "https://discord.com@evil.example/api/webhooks/1/a",
        "https://user:pass@discord.com/api/webhooks/1/a",
        "https://discord.com\\@evil.example/api/webhooks/1/a",
        "https://discord.com:8443/api/webhooks/1/a",
        "https://discord.com/login",
        "https://127.0.0.1/api/webhooks/1/a",
        "https://169.254.169.254/api/webhooks/1/a",
        "http://127.0.0.1:8000/discord/api/webhooks/1/a",
        "file:///etc/passwd",
        "discord.com/api/webhooks/1/a",
        "https://discord.com:port/api/webhooks/1/a",
        "https://[/api/webhooks/1/a",
        "",
    ],
)
def test_only_webhooks_of_discord_are_called(url: str) -> None:
    with pytest.raises(BadWebhook):
        check_webhook(url)


@pytest.mark.parametrize("host", ["discord.com", "discordapp.com", "DISCORD.com:443", "ptb.discord.com"])
def test_every_address_of_discord_is_accepted(host: str) -> None:
    assert "/api/v10/webhooks/1/a" == check_webhook(f"https://{host}/api/v10/webhooks/1/a").path


async def test_a_webhook_at_the_stand_in_is_accepted_and_one_beside_it_is_not() -> None:
    base = "http://127.0.0.1:8123/discord"
    async with discord_over(answering(200), base) as discord:
        await discord.post("http://127.0.0.1:8123/discord/api/webhooks/1/a", EMBEDS)
        with pytest.raises(BadWebhook):
            await discord.post("http://127.0.0.1:8124/discord/api/webhooks/1/a", EMBEDS)


@pytest.mark.parametrize(
    "base_url", ["http://10.0.0.7/discord", "http://example.com", "ftp://127.0.0.1", "x"]
)
async def test_a_stand_in_is_encrypted_or_on_this_machine(base_url: str) -> None:
    with pytest.raises(BadSettings):
        async with open_discord(DiscordSettings(discord_base_url=base_url)):
            pass
