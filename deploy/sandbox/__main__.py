"""`python -m deploy.sandbox --port P --data DIR`: serve on 127.0.0.1 until SIGTERM or SIGINT, exit with 0."""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Generator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.sandbox.app import build
from deploy.sandbox.state import State

# A call that a fault holds back must not keep the process alive when it is told to end.
SHUTDOWN_SECONDS = 1


class DroppableProtocol(H11Protocol):
    """Lets a request reach its own connection, because ASGI has no way to close one without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": transport}


class CleanServer(uvicorn.Server):
    """Ends with exit code 0 when told to stop; uvicorn's own server raises the signal again afterwards."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory of the state; made if missing")
    arguments = parser.parse_args()
    state = State(arguments.data / "sandbox.sqlite3")
    config = uvicorn.Config(
        build(state),
        host="127.0.0.1",
        port=arguments.port,
        http=DroppableProtocol,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        CleanServer(config).run()
    finally:
        state.close()


if __name__ == "__main__":
    main()
