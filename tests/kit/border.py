"""A broker of its own with our definitions imported, and anybody who tries what it allows."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from deploy.local.services.choose import this_machine
from deploy.local.services.obtain import Place, obtained
from deploy.local.services.settings import wishes
from tests.kit.system import REPOSITORY


@dataclass(frozen=True)
class Border:
    url: str = field(repr=False)
    """Of its administrator."""
    management_url: str = field(repr=False)
    passwords: Path
    upstream: set[str] = field(default_factory=set)

    def of(self, user: str) -> str:
        """The broker's URL for a user."""
        parts, known = urlsplit(self.url), json.loads(self.passwords.read_text())
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(known[user])}@{address}"))

    async def admit(self, *upstream: str) -> None:
        """Imports the definitions, with these users of tenants beside those who are there."""
        self.upstream.update(upstream)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.broker", "--passwords", str(self.passwords)),
            *("--import-to", self.management_url, "--upstream", *sorted(self.upstream)),
            cwd=REPOSITORY,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert (0, b"") == (process.returncode, said)

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator["Tries"]:
        connection = await aio_pika.connect(self.of(user), timeout=30)
        async with connection:
            yield Tries(connection)


@dataclass
class Tries:
    """One user; each try has a channel of its own, for the broker closes those of who oversteps."""

    connection: Any

    async def may(self, attempt: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
        channel = await self.connection.channel()
        try:
            await attempt(channel)
        except ChannelAccessRefused:
            return False
        await channel.close()
        return True

    async def publish(self, exchange: str, key: str, **message: Any) -> bool:
        async def attempt(channel: AbstractChannel) -> None:
            where = channel.default_exchange
            if exchange:
                where = await channel.get_exchange(exchange, ensure=False)
            made = aio_pika.Message(**{"body": b"{}", **message})
            await where.publish(made, routing_key=key, mandatory=False, timeout=20)

        return await self.may(attempt)

    async def read(self, queue: str) -> bool:
        """One message of it, which goes back."""

        async def attempt(channel: AbstractChannel) -> None:
            found = await channel.get_queue(queue, ensure=False)
            await found.get(no_ack=False, fail=False, timeout=20)

        return await self.may(attempt)

    async def take(self, queue: str) -> list[Any]:
        """All that lies there."""
        async with self.connection.channel() as channel:
            found, taken = await channel.get_queue(queue, ensure=False), []
            while (message := await found.get(no_ack=True, fail=False, timeout=20)) is not None:
                taken.append(message)
        return taken


@asynccontextmanager
async def border_with(directory: Path, *upstream: str) -> AsyncIterator[Border]:
    """From Docker or the programs of this machine, never one that was given: users belong to a whole
    broker."""
    machine = await this_machine(lambda _: None, look_for_docker=True)
    async with obtained(wishes({}).rabbitmq, machine, Place(directory, durable=False)) as found:
        assert found.management_url is not None
        border = Border(found.url, found.management_url, directory / "passwords.json")
        await border.admit(*upstream)
        yield border
