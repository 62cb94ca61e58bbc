"""Dead letters, as the orchestrator makes them of what it could not read or carry out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from contracts.bundle import alone, encode
from contracts.ids import is_tenant
from contracts.messages import Command, Reply
from contracts.names import REPLIES, REQUESTS, request_key
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested
from orchestrator.core.log import Entry, Parked, ReplayOrdered, ResolvedByHand
from orchestrator.run.items import Answered, Asked, Died, Item, Misunderstood
from orchestrator.store.port import Letter

FORGED = "Forged"
"""The error of a request whose sender may not speak for its tenant."""

NewId = Callable[[], UUID]
AnyRequest = LeadRequested | CancelRequested | RefundRequested | TenantRequested


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where a message died, under which routing key it had come (if that is known), and of what."""

    queue: str
    routing_key: str | None
    error: str
    reason: str


def letter_of(new_id: NewId, death: Death, message: bytes) -> Letter:
    """The same bytes that died in the same queue are the same letter, whether they were delivered again, sent
    again, or replayed. Requests are told apart by their keys, too: those say who sent them."""
    key = death.routing_key if death.queue == REQUESTS else None
    return Letter(
        dead_letter_id=new_id(),
        queue=death.queue,
        message_id=hashlib.sha256((key or "").encode() + b"\0" + message).hexdigest(),
        error=death.error,
        reason=death.reason,
        message=message,
        routing_key=death.routing_key,
    )


def about(letter: Letter, told: Command | Reply) -> Letter:
    return replace(
        letter,
        tenant_id=told.tenant_id,
        saga_id=told.saga_id,
        saga=told.saga,
        step=told.step,
        direction=told.direction,
        attempt=told.attempt,
    )


def sender(routing_key: str) -> str | None:
    """The tenant whose key it is: the broker lets nobody else publish under it."""
    tenant = routing_key.split(".", 1)[0]
    return tenant if is_tenant(tenant) else None


def parked(new_id: NewId, queue: str, command: Command, entry: Parked) -> Letter:
    """Of a command whose attempts are spent, or that was refused for good."""
    death = Death(queue=queue, routing_key=queue, error=entry.error or "Parked", reason=entry.reason)
    letter = about(letter_of(new_id, death, encode([command])), command)
    return replace(letter, message_id=f"{command.saga_id}:{queue}:{entry.attempt}")


def why_not_again(queue: str, routing_key: str | None, status: str, error: str) -> str:
    """Why a letter of no saga cannot be published again; empty if it can."""
    if status != "open":
        return f"refused: the dead letter is {status}: somebody dealt with it"
    if error == FORGED:
        return "refused: its sender may not speak for its tenant, who has to ask for itself"
    if queue == REQUESTS and routing_key is None:
        return (
            "refused: an earlier release buried it without the key that it came with, and so nobody can say "
            "whose it is: its sender must publish it again"
        )
    return ""


def closing(entries: Sequence[Entry]) -> Literal["replayed", "resolved", "moot"]:
    """What became of the letters of a saga that is parked no more."""
    if any(isinstance(entry, ReplayOrdered) for entry in entries):
        return "replayed"
    return "resolved" if any(isinstance(entry, ResolvedByHand) for entry in entries) else "moot"


def failed(new_id: NewId, item: Item) -> Letter | None:
    """Of what cannot be handled, again and again. None for what comes again by itself."""
    match item:
        case Asked(request):
            return _failed_request(new_id, request, item.raw)
        case Answered(reply):
            name = f"{reply.tenant_id}:{reply.saga_id}:{reply.step}:{reply.direction}:{reply.attempt}"
            letter = _failed(new_id, REPLIES, REPLIES, name, encode([reply]))
            return about(letter, reply)
        case Died(letter) | Misunderstood(letter):
            return letter
        case _:
            return None


def _failed_request(new_id: NewId, request: AnyRequest, raw: bytes) -> Letter:
    key, name = request_key(request.tenant_id, request.type), f"{request.type}:{request.request_id}"
    message = raw or alone(request.model_dump_json().encode())
    letter = _failed(new_id, REQUESTS, key, f"{request.tenant_id}:{name}", message)
    return replace(letter, tenant_id=request.tenant_id)


def _failed(new_id: NewId, queue: str, routing_key: str, name: str, message: bytes) -> Letter:
    reason = "the orchestrator failed to handle it; its log says where"
    death = Death(queue=queue, routing_key=routing_key, error="GroupFailed", reason=reason)
    return replace(letter_of(new_id, death, message), message_id=name)


def bare(letter: Letter) -> Letter:
    """What is certain of it, without what was read from it but for its tenant."""
    return replace(letter, saga_id=None, saga=None, step=None, direction=None, attempt=None)
