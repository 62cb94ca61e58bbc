"""Lines to Postgres and RabbitMQ that count what travels: counts are the same on every machine."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536
PLAIN_START = 196608
"""Version 3.0 of Postgres' protocol; anything else that begins a line asks for encryption."""
METHOD = 1
FROM_US = {(60, 40): "published", (60, 80): "acks", (60, 120): "nacks"}
FROM_BROKER = {(60, 60): "delivered", (60, 80): "confirms", (60, 50): "returned"}
"""Methods of AMQP 0-9-1, class basic."""

Read = Callable[[bytearray, Counter[str]], None]
"""Takes whole messages off the buffer, and counts them."""


def reading_postgres() -> Read:
    """What a client says: statements (`BEGIN` and its like too), commits, round trips, plans asked for."""
    begun = False

    def read(buffer: bytearray, counts: Counter[str]) -> None:
        nonlocal begun
        while not begun and len(buffer) >= 8 and len(buffer) >= (size := int.from_bytes(buffer[:4])):
            begun = int.from_bytes(buffer[4:8]) == PLAIN_START
            del buffer[:size]
        while begun and len(buffer) >= 5 and len(buffer) > (size := int.from_bytes(buffer[1:5])):
            _count_statement(chr(buffer[0]), bytes(buffer[5 : 5 + 6]), counts)
            del buffer[: size + 1]

    return read


def _count_statement(kind: str, text: bytes, counts: Counter[str]) -> None:
    match kind:
        case "Q":
            counts["statements"] += 1
            counts["round trips"] += 1
            counts["commits"] += text.upper() == b"COMMIT"
        case "E":
            counts["statements"] += 1
        case "S":
            counts["round trips"] += 1
        case "P":
            counts["prepared"] += 1
        case _:
            pass


def reading_amqp(methods: dict[tuple[int, int], str], *, greeting: int = 0) -> Read:
    """`greeting`: bytes before the first frame."""
    left = greeting

    def read(buffer: bytearray, counts: Counter[str]) -> None:
        nonlocal left
        if left and len(buffer) >= left:
            del buffer[:left]
            left = 0
        while not left and len(buffer) >= 7 and len(buffer) >= (size := 8 + int.from_bytes(buffer[3:7])):
            if buffer[0] == METHOD:
                method = int.from_bytes(buffer[7:9]), int.from_bytes(buffer[9:11])
                counts[methods.get(method, "other")] += 1
            del buffer[:size]

    return read


@dataclass(slots=True)
class Line:
    url: str = ""
    """Of the server, through this line."""
    counts: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def counted_postgres(url: str) -> AsyncIterator[Line]:
    async with _counted(url, lambda: (reading_postgres(), None)) as line:
        yield line


@asynccontextmanager
async def counted_amqp(url: str) -> AsyncIterator[Line]:
    readers = lambda: (reading_amqp(FROM_US, greeting=8), reading_amqp(FROM_BROKER))  # noqa: E731 - as above
    async with _counted(url, readers) as line:
        yield line


@asynccontextmanager
async def _counted(url: str, readers: Callable[[], tuple[Read, Read | None]]) -> AsyncIterator[Line]:
    parts = urlsplit(url)
    line, tasks = Line(), set[asyncio.Task[None]]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Read | None) -> None:
        buffer = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                if read is not None:
                    buffer += data
                    read(buffer, line.counts)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        there, back = readers()
        for work in (pump(reader, far_writer, there), pump(far_reader, writer, back)):
            tasks.add(asyncio.create_task(work))

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    user = parts.netloc.rpartition("@")[0]
    address = f"{host}:{port}"
    line.url = urlunsplit(parts._replace(netloc=f"{user}@{address}" if user else address))
    try:
        yield line
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
