"""A line to RabbitMQ for whoever makes the load: many messages in one write, for next to no CPU time.

The load must not take from the system the processor that both run on. Only what a load needs is here: it is
no client for anybody else. Frames are those of AMQP 0-9-1, section 4.2.3.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame, header

Heard = Callable[[bytes], None]

GREETING = b"AMQP\x00\x00\x09\x01"
HEAD = struct.Struct(">BHI")
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
DELIVER, ACK, NACK, RETURN = 0x003C003C, 0x003C0050, 0x003C0078, 0x003C0032
FRAME_END = b"\xce"
LARGEST_FRAME = 131_072


class LineFailed(ConnectionError):
    """The broker closed the line, or refused or returned a message: what was measured is void."""


@dataclass(slots=True)
class Line(asyncio.Protocol):
    """One connection with one channel. `heard` is given the body of each message that is delivered."""

    heard: Heard
    unconfirmed: set[int] = field(default_factory=set)
    _published: int = 0
    _transport: Any = None
    _begun: bytes = b""
    _missing: int = 0
    """Bytes of the body that is being delivered."""
    _body: list[bytes] = field(default_factory=list)
    _answer: "asyncio.Future[Any] | None" = None
    _failure: Exception | None = None

    # What a load does.

    def publish(self, exchange: str, messages: Iterable[tuple[str, bytes]]) -> None:
        """Persistent, mandatory and confirmed; all in one write. Routing key and body of each."""
        if self._failure is not None:
            raise self._failure
        out = bytearray()
        for key, body in messages:
            out += _publish_frame(exchange, key)
            out += _header_frame(len(body))
            out += HEAD.pack(BODY, 1, len(body)) + body + FRAME_END
            self._published += 1
            self.unconfirmed.add(self._published)
        self._transport.write(out)

    async def listen(self, exchange: str, keys: Iterable[str]) -> None:
        """To a queue of its own, without acknowledging: what is measured is the system, not the listener."""
        declared = await self._ask(commands.Queue.Declare(queue="", exclusive=True))
        for key in keys:
            await self._ask(commands.Queue.Bind(queue=declared.queue, exchange=exchange, routing_key=key))
        await self._ask(commands.Basic.Consume(queue=declared.queue, no_ack=True))

    def close(self) -> None:
        self._failure = LineFailed("closed")
        self._transport.abort()

    # The beginning of a line.

    async def open(self, user: str, password: str, host: str) -> None:
        await self._told(GREETING)
        secret = f"\0{user}\0{password}"
        await self._ask(commands.Connection.StartOk({}, "PLAIN", secret, "en_US"), channel=0)
        tuned = commands.Connection.TuneOk(1, LARGEST_FRAME, 0)
        self._transport.write(frame.marshal(tuned, 0))
        await self._ask(commands.Connection.Open(host), channel=0)
        await self._ask(commands.Channel.Open())
        await self._ask(commands.Confirm.Select())

    async def _ask(self, method: Any, channel: int = 1) -> Any:
        return await self._told(frame.marshal(method, channel))

    async def _told(self, data: bytes) -> Any:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(LineFailed(f"the line ended: {error}"))

    def data_received(self, data: bytes) -> None:
        data, at = self._begun + data, 0
        while len(data) - at >= HEAD.size:
            kind, _, size = HEAD.unpack_from(data, at)
            end = at + HEAD.size + size + 1
            if len(data) < end:
                break
            self._take(kind, data[at + HEAD.size : end - 1], data[at:end])
            at = end
        self._begun = data[at:]

    def _take(self, kind: int, payload: bytes, whole: bytes) -> None:
        if kind == METHOD:
            self._method(int.from_bytes(payload[:4]), payload, whole)
        elif kind == HEADER:
            self._missing = int.from_bytes(payload[4:12])
            self._body.clear()
        elif kind == BODY:
            self._body.append(payload)
            self._missing -= len(payload)
            if self._missing == 0:
                self.heard(b"".join(self._body))

    def _method(self, method: int, payload: bytes, whole: bytes) -> None:
        if method == DELIVER:
            return
        if method == ACK:
            tag = int.from_bytes(payload[4:12])
            gone = [each for each in self.unconfirmed if each <= tag] if payload[12] & 1 else [tag]
            self.unconfirmed.difference_update(gone)
            return
        told = frame.unmarshal(whole)[2]
        if method in {NACK, RETURN} or told.name in {"Connection.Close", "Channel.Close"}:
            self._fail(LineFailed(f"the broker says {told.name}: {getattr(told, 'reply_text', '')}"))
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(told)

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure)


@cache
def _publish_frame(exchange: str, key: str) -> bytes:
    method = commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    return bytes(frame.marshal(method, 1))


@cache
def _header_frame(size: int) -> bytes:
    properties = commands.Basic.Properties(delivery_mode=2, content_type="application/json")
    return bytes(frame.marshal(header.ContentHeader(body_size=size, properties=properties), 1))


async def connected(amqp_url: str, heard: Heard) -> Line:
    parts = urlsplit(amqp_url)
    make = asyncio.get_running_loop().create_connection
    assert parts.hostname is not None
    assert parts.port is not None
    _, line = await make(lambda: Line(heard), parts.hostname, parts.port)
    virtual_host = unquote(parts.path.removeprefix("/")) or "/"
    await line.open(unquote(parts.username or ""), unquote(parts.password or ""), virtual_host)
    return line
