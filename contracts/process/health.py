"""/live, /ready and /metrics of one process, each of them true.

Live: the event loop turns. Ready: every check that the process named holds just now (its consumers consume,
its channels are open, its database answers).
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from contracts.process.settings import BadSettings, ProcessSettings

Check = Callable[[], Awaitable[bool]]


def application(checks: Mapping[str, Check], registry: CollectorRegistry = REGISTRY) -> Starlette:
    async def live(_request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(_request: Request) -> Response:
        results = {name: await check() for name, check in dict(checks).items()}
        return JSONResponse(results, status_code=200 if all(results.values()) else 503)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", metrics)])


@asynccontextmanager
async def serving(settings: ProcessSettings, checks: Mapping[str, Check]) -> AsyncIterator[None]:
    """Raises BadSettings when it cannot listen there."""
    if settings.http_port == 0:
        yield
        return
    listening = _listening(settings)
    server = _Server(
        uvicorn.Config(
            application(checks),
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _listening(settings: ProcessSettings) -> socket.socket:
    """Left to it, uvicorn would end its own task over a port that is taken, and the process would live on."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server((settings.http_host, settings.http_port), family=family)
    except OSError as error:
        where = f"LEADSAGA_HTTP_HOST and LEADSAGA_HTTP_PORT ({settings.http_port})"
        raise BadSettings([f"{where}: cannot listen there, {error.strerror}"]) from None


class _Server(uvicorn.Server):
    """Signals belong to the process, not to its side door."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
