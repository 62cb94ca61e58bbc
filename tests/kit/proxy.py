"""A line to a server that can be cut, silenced, slowed or torn at its far end, as networks do.

It stands between a process and RabbitMQ or Postgres: the process gets `url` instead of the server's own.
What was swallowed is gone, so a connection that lost bytes never comes back to life; new ones do as the line
is now.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST, and nothing that was not sent before."""


@dataclass(slots=True, eq=False)
class _Joint:
    """One connection through the line: the near side is ours, the far side the server's."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    silent: bool = False
    """Whatever comes is swallowed, for ever."""
    left: bool = False
    """The near side has closed its end."""

    def cut(self) -> None:
        for side in (self.near, self.far):
            if side is not None:
                _reset(side)

    def tear(self) -> None:
        """The far side is gone, and the near side is never told."""
        self.silent = True
        if self.far is not None:
            _reset(self.far)


@dataclass(slots=True)
class Proxy:
    host: str
    port: int
    url: str = ""
    """Of the server, through this line."""
    delay: float = 0.0
    """Seconds that everything takes on its way, each way."""
    joints: set[_Joint] = field(default_factory=set)
    _swallowing: bool = False
    _listening: asyncio.Server | None = None
    _address: tuple[str, int] = ("127.0.0.1", 0)

    def inject(self, data: bytes) -> None:
        """Every server hears this from each of its clients, which know nothing of it. To be called while the
        line is idle, lest it ends up inside of something."""
        for joint in self.joints:
            if joint.far is not None and not joint.silent:
                joint.far.write(data)

    async def heal(self) -> None:
        """From now on new connections pass, at once. Servers learn which of their clients are gone, as from
        the keepalives of a line that is back."""
        self._swallowing = False
        self.delay = 0.0
        for joint in list(self.joints):
            self._tell(joint)
        if self._listening is None:
            self._listening = await asyncio.start_server(self._join, *self._address)
            self._address = self._listening.sockets[0].getsockname()

    def cut(self) -> None:
        """Every connection is reset on both sides; new ones pass."""
        for joint in list(self.joints):
            joint.cut()

    def refuse(self) -> None:
        """Like `cut`, and nobody listens any more."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.cut()

    def swallow(self) -> None:
        """A black hole: every connection goes on, and nothing comes out of it; new ones are accepted, and
        lead nowhere."""
        self._swallowing = True
        for joint in self.joints:
            joint.silent = True

    def tear(self) -> None:
        """Half-open: the server loses every connection, its clients are never told; new ones pass."""
        for joint in list(self.joints):
            joint.tear()

    def _tell(self, joint: _Joint) -> None:
        if joint.left and joint.silent and not self._swallowing:
            joint.cut()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joint = _Joint(writer, silent=self._swallowing)
        self.joints.add(joint)
        try:
            if joint.silent:
                await self._pump(joint, reader, None)
                return
            far_reader, joint.far = await asyncio.open_connection(self.host, self.port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(joint, far_reader, writer))
                await self._pump(joint, reader, joint.far)
                joint.left = True
                self._tell(joint)
        except OSError:
            pass  # the server is away: its clients are told by the end of their connection
        finally:
            self.joints.discard(joint)
            joint.cut()

    async def _pump(
        self, joint: _Joint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None
    ) -> None:
        """Returns when its reader has nothing more to say."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        carrier = asyncio.create_task(self._carry(joint, due, writer))
        try:
            with suppress(OSError):
                while data := await reader.read(CHUNK):
                    due.put_nowait((asyncio.get_running_loop().time() + self.delay, data))
            await due.join()
            if writer is not None and not joint.silent:
                writer.close()
        finally:
            carrier.cancel()

    async def _carry(
        self, joint: _Joint, due: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter | None
    ) -> None:
        while True:
            when, data = await due.get()
            await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
            if writer is not None and not joint.silent and not writer.is_closing():
                writer.write(data)
            due.task_done()


def _reset(side: asyncio.StreamWriter) -> None:
    found = side.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    side.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """`url`: of the server, with its port."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    await proxy.heal()
    user = parts.netloc.rpartition("@")[0]
    host, port = proxy._address
    address = f"{host}:{port}"
    proxy.url = urlunsplit(parts._replace(netloc=f"{user}@{address}" if user else address))
    try:
        yield proxy
    finally:
        proxy.refuse()
