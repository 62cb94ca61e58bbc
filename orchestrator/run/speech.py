"""What a saga tells the world: commands from its state, events from its log entries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from contracts import events
from contracts.ids import RequestId, TenantId
from contracts.messages import Command
from contracts.model import Model
from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested
from orchestrator.core.definition import Saga
from orchestrator.core.log import Accepted, Ended, Entry, Parked
from orchestrator.core.state import State
from orchestrator.store.port import EventOut, SagaKey, Stored

AnyRequest = LeadRequested | CancelRequested | RefundRequested | TenantRequested


class Asker(Model):
    """What even a message that makes no sense may say: who asks, for which request or refund."""

    tenant_id: TenantId
    request_id: RequestId
    refund_id: RequestId | None = None


PARKED = "needs one of our people; nothing is lost, and nothing is charged twice"


def command_for(saga: Saga, key: SagaKey, request_id: str, state: State) -> tuple[str, Command]:
    """The queue and the command of the attempt that the saga now waits for."""
    assert state.step is not None
    step = saga.step(state.step)
    queue = step.name if state.direction == "do" else step.undo or step.name
    # Of what was checked when it came: to check it again would take as long as all the rest.
    return queue, Command.model_construct(
        tenant_id=key[0],
        saga_id=key[1],
        saga=saga.name,
        request_id=request_id,
        step=step.name,
        direction=state.direction,
        attempt=state.attempt,
        last=state.last,
        timeout=state.timeout,
        request=state.request,
        facts=state.facts,
    )


def repeat_delivery(saga: Saga, stored: Stored) -> tuple[str, Command] | None:
    """A command that was done already, for a step that announces what it did: it will say so again. Used
    when upstream asks again for a request that was delivered."""
    if saga.name != "lead" or "record_usage" not in stored.state.facts:
        return None
    return "record_usage", Command(
        tenant_id=stored.key[0],
        saga_id=stored.key[1],
        saga=saga.name,
        request_id=stored.request_id,
        step="record_usage",
        direction="do",
        attempt=1,
        last=False,
        timeout=saga.step("record_usage").timeout.of(stored.state.request).total_seconds(),
        request=stored.state.request,
        facts=stored.state.facts,
    )


def events_of(saga: Saga, before: Stored, entries: Sequence[Entry], state: State) -> list[EventOut]:
    said = []
    for seq, entry in enumerate(entries, before.entries + 1):
        body = _event(saga, before, seq, entry, state)
        if body is not None:
            said.append(_out(body))
    return said


def status_again(saga: Saga, stored: Stored, at: datetime) -> list[EventOut]:
    """The same request again is answered with the same outcome, by the same event."""
    entry: Entry
    if stored.state.status == "completed":
        entry = Ended(at=at, outcome="completed")
    elif stored.state.status == "rolled_back":
        entry = Ended(at=at, outcome="rolled_back", reason=stored.state.reason)
    elif stored.state.status == "parked" and stored.state.step is not None:
        entry = Parked(
            at=at,
            step=stored.state.step,
            direction=stored.state.direction,
            attempt=stored.state.attempt,
            reason=stored.state.reason,
        )
    else:
        entry = Accepted(at=at, request={}, deadline_at=at)
    # A saga's Accepted is always its first entry, its Ended always its last, its Parked nearly always.
    seq = 1 if isinstance(entry, Accepted) else stored.entries
    body = _event(saga, stored, seq, entry, stored.state)
    return [] if body is None else [_out(body)]


def accepted_still(request: AnyRequest, key: SagaKey, at: datetime) -> EventOut:
    """What is true of every request that has a saga, whatever has become of it since."""
    refund_id = request.refund_id if isinstance(request, RefundRequested) else None
    return _out(
        events.Accepted(
            event_id=_event_id(key[1], "accepted", 1),
            tenant_id=key[0],
            request_id=request.request_id,
            saga=_saga_of(request),
            saga_id=key[1],
            refund_id=refund_id,
            at=at,
        )
    )


def _event_id(saga_id: UUID, name: str, seq: int) -> UUID:
    return uuid5(saga_id, f"{name} {seq}")


def _event(saga: Saga, before: Stored, seq: int, entry: Entry, state: State) -> events.Event | None:
    match entry:
        case Accepted():
            name: str = "accepted"
        case Ended(outcome="completed"):
            name = saga.completes_as
        case Ended():
            name = "failed"
        case Parked():
            name = "parked"
        case _:
            return None
    tenant_id, saga_id = before.key
    asked = state.request
    common: dict[str, Any] = {
        "event_id": _event_id(saga_id, name, seq),
        "tenant_id": tenant_id,
        "request_id": asked.get("request_id", before.request_id),
        "saga": saga.name,
        "saga_id": saga_id,
        "refund_id": asked.get("refund_id"),
        "at": entry.at,
    }
    match name:
        case "accepted":
            return events.Accepted(**common)
        case "failed":
            return events.Failed(**common, reason=state.reason or "the request could not be carried out")
        case "parked":
            assert isinstance(entry, Parked)
            # The cause is for our people, who find it in the log; it may quote a vendor.
            return events.Parked(**common, step=entry.step, reason=f"{entry.step} {PARKED}")
        case _:
            return _completion(name, common, state)


def _completion(name: str, common: dict[str, Any], state: State) -> events.Event:
    """What a saga that ended well is proud of, by the name that its definition gives to that."""
    asked, facts = state.request, state.facts
    match name:
        case "refunded":
            fact = facts.get("refund_usage", {})
            leads, withdrawn = int(fact.get("leads", 0)), int(fact.get("withdrawn", 0))
            return events.Refunded(**common, leads=leads, withdrawn=withdrawn)
        case "provisioned":
            customer = facts.get("open_account", {}).get("customer")
            return events.Provisioned(**common, new_tenant=asked["new_tenant"], stripe_customer=customer)
        case _:
            delivered = int(facts.get("record_usage", {}).get("leads", 0))
            return events.Completed(**common, requested=int(asked["leads"]), delivered=delivered)


def _saga_of(request: AnyRequest) -> str:
    """The name of the saga that it begins, or means."""
    match request:
        case RefundRequested():
            return "refund"
        case TenantRequested():
            return "provision_tenant"
        case _:
            return "lead"


def refusal(request: AnyRequest, reason: str, at: datetime) -> EventOut:
    asker = Asker(
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        refund_id=request.refund_id if isinstance(request, RefundRequested) else None,
    )
    return refusal_to(asker, request.model_dump_json(), reason, at, saga=_saga_of(request))


def refusal_to(asker: Asker, said: str, reason: str, at: datetime, *, saga: str | None = None) -> EventOut:
    """`said` identifies the message: delivered again it is refused by the same event."""
    return _out(
        events.Refused(
            event_id=uuid5(NAMESPACE_URL, f"refused {said} {reason}"),
            tenant_id=asker.tenant_id,
            request_id=asker.request_id,
            saga=saga or ("lead" if asker.refund_id is None else "refund"),
            saga_id=None,
            refund_id=asker.refund_id,
            at=at,
            reason=reason,
        )
    )


def _out(event: events.Event) -> EventOut:
    event_id: UUID = event.event_id
    return EventOut(
        event_id=event_id,
        tenant_id=event.tenant_id,
        event=event.event,
        body=event.model_dump_json(),
    )
