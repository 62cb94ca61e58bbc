"""Acting as an upstream service does: requests over the broker, and the events that answer them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, AuthenticationError, ProbableAuthenticationError
from pydantic import TypeAdapter, ValidationError

from contracts import events
from contracts.names import Names, request_key
from contracts.process import crash
from contracts.process.publishing import BROKER_AWAY, Outgoing, Publisher, Unconfirmed, Unroutable
from contracts.process.settings import BadSettings, BrokerSettings, load
from contracts.process.waiting import CLOSE_SECONDS
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested
from orchestrator.operate.errors import TimedOut, Unavailable
from orchestrator.operate.session import CONNECT_SECONDS, connected, place

Request = LeadRequested | CancelRequested | RefundRequested | TenantRequested
Result = Literal["published", "completed", "refunded", "provisioned", "failed", "refused", "parked"]

_EVENT: TypeAdapter[events.Event] = TypeAdapter(events.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of a request. `published`: nobody waited for more. `met`: it is what was asked for."""

    tenant_id: str
    request_id: str
    refund_id: str | None
    outcome: Result
    met: bool
    saga_id: UUID | None = None
    leads: int | None = None
    """Delivered, or given back."""
    reason: str = ""


@dataclass(slots=True)
class Upstream:
    """One connection to the broker."""

    publisher: Publisher
    names: Names

    async def publish(self, request: Request) -> Heard:
        """Returns when the broker has it. Raises Unavailable."""
        message = Outgoing(
            exchange=self.names.requests_exchange,
            routing_key=request_key(request.tenant_id, request.type),
            body=request.model_dump_json().encode(),
            signed=True,
        )
        try:
            await self.publisher.publish([message], name="requests")
        except Unroutable as error:
            raise Unavailable("no queue takes requests yet: start the orchestrator") from error
        except Unconfirmed as error:
            raise Unavailable(
                f"the broker did not take the request ({error}); has an orchestrator ever run on it?"
            ) from error
        return _heard(request, "published", met=True)

    async def ask(self, request: Request, wait: float) -> Heard:
        """Listens first, then publishes, then waits up to `wait` seconds. Raises Unavailable and TimedOut."""
        async with self._listening(request.tenant_id) as queue:
            await self.publish(request)
            try:
                async with asyncio.timeout(wait):
                    return await self._answer(queue, request)
            except TimeoutError as error:
                name = getattr(request, "refund_id", request.request_id)
                raise TimedOut(f"{name} was sent, but its outcome was not heard in {wait:g} s") from error
            except BROKER_AWAY as error:
                raise Unavailable(
                    "the connection to the broker was lost; what was sent stays sent"
                ) from error

    @asynccontextmanager
    async def _listening(self, tenant_id: str) -> AsyncIterator[AbstractQueue]:
        async with self.publisher.connection.channel() as channel:
            try:
                queue = await channel.declare_queue(exclusive=True, auto_delete=True)
                await queue.bind(self.names.events_exchange, routing_key=f"{tenant_id}.#")
            except AMQPError as error:
                raise Unavailable("nothing tells of outcomes yet: start the orchestrator") from error
            yield queue

    async def _answer(self, queue: AbstractQueue, request: Request) -> Heard:
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                heard = answer_in(message.body, request)
                if heard is not None:
                    return heard
        raise Unavailable("the broker closed the connection")


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Raises BadSettings or Unavailable."""
    crash.arm()
    settings = load(BrokerSettings)
    url = settings.amqp_url.get_secret_value()
    for library in ("aio_pika", "aiormq"):
        # What they log is told by the command itself, in one line.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    connection = await _connect(url)
    try:
        # A command does not outlive its connection, so it needs none that comes back by itself.
        publisher = Publisher(cast(AbstractRobustConnection, connection), settings)
        yield Upstream(publisher, Names(settings.queue_prefix))
    finally:
        with suppress(*BROKER_AWAY):  # it may be gone already
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()


async def _connect(url: str) -> AbstractConnection:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connecting = aio_pika.connect(
                url, client_properties={"connection_name": "leadsaga operator"}, heartbeat=15
            )
            return await connected(connecting, "LEADSAGA_AMQP_URL")
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise BadSettings(["LEADSAGA_AMQP_URL: the broker refuses its user or password"]) from error
    except BROKER_AWAY as error:
        where = f"the broker at {place(url)}"
        raise Unavailable(f"{where} cannot be reached ({type(error).__name__})") from error


def answer_in(body: bytes, request: Request) -> Heard | None:
    """What this event says of the request, if it ends the wait for it."""
    try:
        event = _EVENT.validate_json(body)
    except ValidationError:
        return None
    if (event.tenant_id, event.request_id) != (request.tenant_id, request.request_id):
        return None
    if isinstance(request, RefundRequested):
        return _of_refund(event, request)
    if isinstance(request, TenantRequested):
        return _of_tenant(event, request)
    return None if event.saga != "lead" else _of_lead(event, request)


def _of_lead(event: events.Event, request: Request) -> Heard | None:
    """A lead request wants to complete; who cancels wants it to fail."""
    wanted = "failed" if isinstance(request, CancelRequested) else "completed"
    match event:
        case events.Completed():
            met = wanted == "completed"
            return _heard(request, "completed", met=met, saga_id=event.saga_id, leads=event.delivered)
        case events.Failed() | events.Refused() | events.Parked():
            met = event.event == wanted
            return _heard(request, event.event, met=met, saga_id=event.saga_id, reason=event.reason)
        case _:
            return None


def _of_refund(event: events.Event, request: RefundRequested) -> Heard | None:
    match event:
        case events.Failed(saga="lead"):
            # Asked before delivery, a refund is a cancel: nothing was charged.
            return _heard(request, "failed", met=True, saga_id=event.saga_id, reason=event.reason)
        case _ if event.refund_id != request.refund_id:
            return None
        case events.Refunded():
            return _heard(request, "refunded", met=True, saga_id=event.saga_id, leads=event.leads)
        case events.Failed() | events.Refused() | events.Parked():
            return _heard(request, event.event, met=False, saga_id=event.saga_id, reason=event.reason)
        case _:
            return None


def _of_tenant(event: events.Event, request: TenantRequested) -> Heard | None:
    match event:
        case events.Provisioned():
            return _heard(request, "provisioned", met=True, saga_id=event.saga_id)
        case events.Failed() | events.Refused() | events.Parked() if event.saga == "provision_tenant":
            return _heard(request, event.event, met=False, saga_id=event.saga_id, reason=event.reason)
        case _:
            return None


def _heard(  # noqa: PLR0913 - what was heard
    request: Request,
    outcome: Result,
    *,
    met: bool,
    saga_id: UUID | None = None,
    leads: int | None = None,
    reason: str = "",
) -> Heard:
    return Heard(
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        refund_id=request.refund_id if isinstance(request, RefundRequested) else None,
        outcome=outcome,
        met=met,
        saga_id=saga_id,
        leads=leads,
        reason=reason,
    )
