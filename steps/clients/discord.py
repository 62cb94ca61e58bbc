"""Discord webhooks (discord.com/developers, "Execute Webhook", "Rate Limits").

A webhook's URL is a secret: it appears in no error and no log line of this file. There is no idempotency key,
so the difference between "surely not sent" and "perhaps sent" is all that keeps a message from coming twice.
"""

import ipaddress
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx2

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.process import crash
from contracts.process.settings import BadSettings, Settings, load
from steps.clients.discord_limits import fit, safe

__all__ = ["BadWebhook", "Discord", "DiscordSettings", "WebhookGone", "check_webhook", "open_discord", "safe"]

TIMEOUT_SECONDS = 10.0
HOSTS = frozenset({"discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"})
HTTPS_PORT, HTTP_PORT = 443, 80
SURELY_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
INVALID_TOKEN = 50027
"""Discord's code for a webhook whose id exists and whose token is wrong."""


class DiscordSettings(Settings):
    discord_base_url: str | None = None
    """A stand-in for Discord, which webhooks may point to as well."""


class WebhookGone(StepRejected):
    """The webhook does not exist any more: Discord bans who goes on calling such."""


class BadWebhook(StepRejected):
    """The URL is not one of a Discord webhook."""


@dataclass(frozen=True, slots=True)
class Discord:
    http: httpx2.AsyncClient = field(repr=False)
    base_url: str | None = None

    async def post(self, url: str, embeds: Sequence[Mapping[str, Any]]) -> None:
        """One message of at most ten embeds (Discord's own JSON), shortened to Discord's limits; nobody is
        ever mentioned. Returns when Discord has saved it.

        Raises StepTransient (surely not sent), StepUnknown (perhaps sent), WebhookGone, BadWebhook, and
        StepRejected for what Discord will never take."""
        webhook = check_webhook(url, self.base_url)
        fitted = fit(embeds)
        if not fitted:
            raise StepRejected("there is nothing to say", error="EmptyMessage")
        message = {"embeds": fitted, "allowed_mentions": {"parse": []}}
        try:
            async with crash.around("call.discord", "answered"):
                answer = await self.http.post(webhook.copy_merge_params({"wait": "true"}), json=message)
        except httpx2.RequestError as error:
            failure = lost(error)
        else:
            if answer.is_success:
                return
            failure = refused(answer)
        # Raised outside of the except block: the client's error holds the request, and with it the URL.
        raise failure


def check_webhook(url: str, base_url: str | None = None) -> httpx2.URL:
    """The URL as the client reads it. Raises BadWebhook for anything but a webhook of Discord, or of the
    stand-in at `base_url`: a tenant's URL must not make our processes call into our own network."""
    webhook = _parsed(url)
    if webhook is None or webhook.userinfo:
        raise BadWebhook(BadWebhook.__doc__ or "")
    stand_in = _parsed(base_url) if base_url else None
    if stand_in is not None and _origin(webhook) == _origin(stand_in):
        return webhook
    discord = _origin(webhook) in {("https", host, HTTPS_PORT) for host in HOSTS}
    if not (discord and webhook.path.startswith("/api/") and "/webhooks/" in webhook.path):
        raise BadWebhook(BadWebhook.__doc__ or "")
    return webhook


def lost(error: httpx2.RequestError) -> StepError:
    name = type(error).__name__
    if isinstance(error, SURELY_NOT_SENT):
        return StepTransient("Discord could not be reached", error=name)
    return StepUnknown("Discord did not answer", error=name)


def refused(answer: httpx2.Response) -> StepError:
    status, body = answer.status_code, _body(answer)
    name = f"Discord{status}"
    wait = _retry_after(answer, body)
    # An overload that says when to come back was refused before anything was done for it.
    overloaded = status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None
    if status == HTTPStatus.TOO_MANY_REQUESTS or overloaded:
        return StepTransient("Discord asks us to wait", error=name, retry_after=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # Whatever broke, it may have broken after the message was saved.
        return StepUnknown("Discord is out of order", error=name)
    gone = status == HTTPStatus.UNAUTHORIZED and body.get("code") == INVALID_TOKEN
    if status == HTTPStatus.NOT_FOUND or gone:
        return WebhookGone("the webhook does not exist any more", error=name)
    return StepRejected("Discord refused the message", error=name)


@asynccontextmanager
async def open_discord(
    settings: DiscordSettings | None = None, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Discord]:
    """Raises BadSettings for a stand-in that is neither https nor on this machine."""
    base_url = (settings or load(DiscordSettings)).discord_base_url
    if base_url is not None and not _trustworthy(base_url):
        raise BadSettings(["LEADSAGA_DISCORD_BASE_URL: neither https nor http to a loopback address"])
    # No connection is kept: one that the other side has closed looks like a message that may have been sent.
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(
        timeout=TIMEOUT_SECONDS, follow_redirects=False, limits=limits, transport=transport
    ) as http:
        yield Discord(http, base_url)


def _parsed(url: str) -> httpx2.URL | None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return None
    return parsed if parsed.scheme in {"https", "http"} and parsed.host else None


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (HTTPS_PORT if url.scheme == "https" else HTTP_PORT)


def _trustworthy(base_url: str) -> bool:
    url = _parsed(base_url)
    if url is None:
        return False
    return url.scheme == "https" or url.host == "localhost" or _is_loopback(url.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _body(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(answer: httpx2.Response, body: Mapping[str, Any]) -> float | None:
    """Seconds; the body says it exactly, the header rounded up."""
    for said in (body.get("retry_after"), answer.headers.get("retry-after")):
        try:
            seconds = float(said or "")
        except (TypeError, ValueError):
            continue
        if 0 <= seconds < math.inf:
            return seconds
    return None
