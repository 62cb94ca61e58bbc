"""The one HTTP application: three vendors by path prefix, the admin beside them."""

from collections.abc import Awaitable, Callable

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deploy.sandbox.admin import admin_routes
from deploy.sandbox.anthropic import Anthropic
from deploy.sandbox.discord import Discord
from deploy.sandbox.faults import Faults
from deploy.sandbox.service import Service
from deploy.sandbox.state import State
from deploy.sandbox.stripe.routes import ROUTES as STRIPE_ROUTES
from deploy.sandbox.stripe.vendor import Stripe
from deploy.sandbox.wire import Answer, Call, Vendor

Endpoint = Callable[[Request], Awaitable[Response]]


class Dropped(Response):
    """Closes the connection without a byte of answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        scope["state"]["connection"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def build(state: State) -> Starlette:
    faults = Faults(state)
    service = Service(state, faults)
    stripe = Stripe(state)
    discord = endpoint(service, Discord(state), "discord.webhook")
    routes = [
        Route("/healthz", healthz),
        Route(
            "/anthropic/v1/messages",
            endpoint(service, Anthropic(state), "anthropic.messages"),
            methods=["POST"],
        ),
        Route("/discord/api/webhooks/{id}/{token}", discord, methods=["POST"]),
        Route("/discord/api/v10/webhooks/{id}/{token}", discord, methods=["POST"]),
    ]
    routes += [
        Route(f"/stripe{route.path}", endpoint(service, stripe, route.name), methods=[route.method])
        for route in STRIPE_ROUTES
    ]
    everything = ["GET", "POST", "DELETE", "PUT", "PATCH"]
    routes.append(
        Route("/stripe/{rest:path}", endpoint(service, stripe, "stripe.unknown"), methods=everything)
    )
    return Starlette(routes=routes + admin_routes(state, faults))


async def healthz(_: Request) -> Response:
    return rendered(Answer(200, {"status": "ok"}))


def endpoint(service: Service, vendor: Vendor, name: str) -> Endpoint:
    async def serve(request: Request) -> Response:
        answer = await service.serve(vendor, await received(request, name))
        return Dropped() if answer is None else rendered(answer)

    return serve


async def received(request: Request, route: str) -> Call:
    ids = {name: str(value) for name, value in request.path_params.items()}
    path = request.url.path
    if token := ids.get("token"):
        path = path.removesuffix(token) + "{token}"
    body = (await request.body()).decode(errors="replace")
    return Call(route, request.method, path, ids, request.url.query, dict(request.headers), body)


def rendered(answer: Answer) -> Response:
    content = b"" if answer.body is None else orjson.dumps(answer.body)
    return Response(content, answer.status, dict(answer.headers), "application/json" if content else None)
