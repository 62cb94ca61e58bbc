"""Publishing that never loses a message quietly: mandatory, persistent, confirmed, and limited in time.

Publishing has a connection of its own, so that back-pressure on it never holds up acks. Retries and replays
make duplicates, never gaps: readers are idempotent.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import aio_pika
import uuid_utils
from aio_pika.abc import AbstractChannel, AbstractRobustConnection
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.channel import Channel
from pamqp import commands

from contracts.process import crash
from contracts.process.amqp import Written, dead_line_is_an_error, write_together
from contracts.process.settings import BadSettings, BrokerSettings
from contracts.process.waiting import CLOSE_SECONDS, CONNECT_SECONDS, until_answers

SLICE = 1000
SLICE_BYTES = 2_000_000

AGAIN_WITHIN = 10.0
"""Seconds after which whoever failed to publish something has begun to try again, if it still has it."""

BROKER_AWAY: tuple[type[Exception], ...] = (AMQPError, OSError, TimeoutError, RuntimeError)


class NotPublished(Exception):
    """`left` are the messages to publish again: what went before them is confirmed."""

    def __init__(self, why: str, left: "Sequence[Outgoing]") -> None:
        super().__init__(why)
        self.left = left


class Unconfirmed(NotPublished):
    """The broker did not confirm a message in time, or at all: it may or may not have it."""


class Unroutable(NotPublished):
    """No queue takes this message: the topology is incomplete, and going on would lose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    exchange: str
    routing_key: str
    body: bytes
    mandatory: bool = True
    """False only for events: that nobody listens to them is not an error."""
    message_id: str | None = None
    headers: dict[str, str | int] = field(default_factory=dict)
    signed: bool = False
    """It names our user, which the broker checks: for who is asked in a tenant's name."""


def slice_of(messages: Sequence[Outgoing]) -> int:
    """How many of the first messages travel together: `SLICE` of them, or fewer that fill `SLICE_BYTES`."""
    size = 0
    for count, message in enumerate(messages[:SLICE]):
        size += len(message.body)
        if count and size > SLICE_BYTES:
            return count
    return min(len(messages), SLICE)


class Publishes(Protocol):
    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        """Returns when the broker has confirmed every message. Raises Unroutable or Unconfirmed, which say
        what is left to be published; some of that may have arrived all the same. `name` says what they are,
        for crash points."""
        ...


class Publisher:
    def __init__(self, connection: AbstractRobustConnection, settings: BrokerSettings) -> None:
        self._connection = connection
        self._timeout = settings.publish_timeout
        self._user = settings.user
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._failing_until = 0.0
        self._astray = False

    @property
    def connection(self) -> AbstractRobustConnection:
        return self._connection

    @property
    def connected(self) -> bool:
        """False as well while publishes fail: nothing gets through, whatever the line says."""
        channel = self._channel
        alive = self._connection.connected.is_set() and (channel is None or not channel.is_closed)
        return alive and not self._failing

    @property
    def astray(self) -> bool:
        """Where the last publish should have gone there is no exchange, or no queue: somebody deleted it."""
        return self._astray and self._failing

    @property
    def _failing(self) -> bool:
        """A failure is forgotten: its message may have gone to another process, and this one be idle."""
        return asyncio.get_running_loop().time() < self._failing_until

    async def publish(self, messages: Sequence[Outgoing], *, name: str) -> None:
        """Travels in slices, each with a time limit of its own, so that no amount is too much for it."""
        if messages:
            crash.point(f"publish.{name}", "before")
        rest = list(messages)
        while rest:
            size = slice_of(rest)
            try:
                await self._publish_together(rest[:size], name)
            except NotPublished as failure:
                self._failing_until = asyncio.get_running_loop().time() + self._timeout + AGAIN_WITHIN
                self._astray = isinstance(failure.__cause__, PublishError | ChannelNotFoundEntity)
                failure.left = rest
                raise
            self._failing_until = 0.0
            rest = rest[size:]
        if messages:
            crash.point(f"publish.{name}", "confirmed")

    async def _publish_together(self, messages: Sequence[Outgoing], name: str) -> None:
        confirms: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._timeout):
                with dead_line_is_an_error():  # or those who wait would count as cancelled, not as failed
                    channel = await self._open()
                    confirms = await write_together(channel, [self._written(each) for each in messages])
                for confirm in confirms:
                    if not confirm.done():
                        await asyncio.wait([confirm])
                    crash.point(f"publish.{name}", "one")
            faults = [fault for confirm in confirms if (fault := _fault(confirm)) is not None]
        except BROKER_AWAY as error:
            faults = [error]
        finally:
            for confirm in confirms:
                confirm.cancel()  # what was not confirmed in time is waited for by nobody
        returned = [fault for fault in faults if isinstance(fault, PublishError)]
        failed = [fault for fault in faults if not isinstance(fault, PublishError)]
        if failed:
            # When the broker closes the channel, one publish hears why, and the others that it is closed.
            why = [fault for fault in failed if isinstance(fault, ChannelNotFoundEntity)]
            failure = (why or failed)[0]
            await self._drop_channel()
            raise Unconfirmed(type(failure).__name__, messages) from failure
        if returned:
            raise Unroutable("a message was returned", messages) from returned[0]

    def _written(self, message: Outgoing) -> Written:
        return Written(
            commands.Basic.Publish(
                exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory
            ),
            commands.Basic.Properties(
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                # Unique per publish: returned messages are matched by it, and two equal ones in flight
                # would swap their results.
                message_id=message.message_id or str(uuid_utils.uuid7()),
                headers=dict(message.headers),
                user_id=self._user if message.signed else None,
            ),
            message.body,
        )

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._connection.channel(on_return_raises=True)
            return cast(Channel, await self._channel.get_underlay_channel())

    async def _drop_channel(self) -> None:
        """After a failure nothing is known of what is under way on the channel: the next publish opens a
        new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    with dead_line_is_an_error():
                        await channel.close()
            except BROKER_AWAY:
                pass  # it was broken already


def _fault(confirm: "asyncio.Future[Any]") -> BaseException | None:
    return ConnectionError("the line was silent for too long") if confirm.cancelled() else confirm.exception()


@asynccontextmanager
async def publishing(
    settings: BrokerSettings, *, name: str, stopping: asyncio.Event | None = None
) -> AsyncIterator[Publisher]:
    """Waits until the broker answers. Raises BadSettings when it refuses the user, and Stopped."""
    connection = await until_answers(
        lambda: _connect(settings, name), "RabbitMQ", BROKER_AWAY, stopping or asyncio.Event()
    )
    try:
        yield Publisher(connection, settings)
    finally:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()
        except BROKER_AWAY:
            pass  # the broker is gone; so is the connection


class _Connection(aio_pika.RobustConnection):
    """Left to itself, it would go on with a first attempt that was broken off, and keep the process from its
    end: the library's task survives being cancelled unless its connection was closed before."""

    async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as it is named there
        try:
            await super().connect(timeout)
        except asyncio.CancelledError:
            await self.close()
            raise


async def _connect(settings: BrokerSettings, name: str) -> AbstractRobustConnection:
    try:
        return await aio_pika.connect_robust(
            settings.amqp_url.get_secret_value(),
            client_properties={"connection_name": f"leadsaga {name} publish"},
            heartbeat=settings.heartbeat,
            timeout=CONNECT_SECONDS,
            reconnect_interval=1,
            connection_class=_Connection,
        )
    except (AuthenticationError, ProbableAuthenticationError):
        raise BadSettings(["LEADSAGA_AMQP_URL: the broker refuses its user or password"]) from None
