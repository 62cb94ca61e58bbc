"""From what arrived to news of sagas: who is new, who is meant, who is refused."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.requests import CancelRequested, LeadRequested, RefundRequested
from orchestrator.core.definition import Saga
from orchestrator.core.moves import at_pivot
from orchestrator.core.news import Accept, Cancel, News
from orchestrator.core.orders import can_cancel
from orchestrator.core.state import State
from orchestrator.run.items import Asked
from orchestrator.run.speech import refusal
from orchestrator.store.port import Admitted, Attached, EventOut, Group, Incoming, Refused, SagaKey, Stored

DELIVERED = "the leads are delivered already; ask for a refund instead"
BEING_DELIVERED = "the leads are being delivered at this moment; ask again once the request has completed"


@dataclass(slots=True)
class Intake:
    """Requests sorted out. `created` are sagas that exist only in this group so far."""

    news: list[tuple[SagaKey, News]] = field(default_factory=list)
    created: dict[SagaKey, Stored] = field(default_factory=dict)
    attached: list[tuple[SagaKey, Asked]] = field(default_factory=list)
    events: list[EventOut] = field(default_factory=list)


async def take_in(
    group: Group,
    asked: Sequence[Asked],
    current: dict[str, Saga],
    at: datetime,
    new_id: Callable[[], UUID],
) -> Intake:
    intake = Intake()
    beginning: list[tuple[Asked, Saga]] = []
    leads = await _meant(group, asked)
    for item in asked:
        match item.request:
            case LeadRequested():
                beginning.append((item, current["lead"]))
            case CancelRequested() as request:
                _cancel(intake, request, leads.get((request.tenant_id, request.request_id)), at)
            case RefundRequested() as request:
                lead = leads.get((request.tenant_id, request.request_id))
                if _refund(intake, request, lead, current["lead"], at):
                    beginning.append((item, current["refund"]))
    if beginning:
        await _begin(group, intake, beginning, at, new_id)
    return intake


async def _meant(group: Group, asked: Sequence[Asked]) -> dict[tuple[str, str], Stored]:
    """The lead sagas that cancels and refunds speak of, locked."""
    wanted = {
        (item.request.tenant_id, "lead", item.request.request_id)
        for item in asked
        if not isinstance(item.request, LeadRequested)
    }
    if not wanted:
        return {}
    found = await group.find(wanted)
    stored = await group.load(set(found.values()))
    return {(name[0], name[2]): stored[key] for name, key in found.items() if key in stored}


def _cancel(intake: Intake, request: CancelRequested, lead: Stored | None, at: datetime) -> None:
    if lead is None:
        intake.events.append(refusal(request, "there is no such request", at))
    elif can_cancel(lead.state):
        intake.news.append((lead.key, Cancel(at=at, by=request.requested_by, reason=request.reason)))
    elif not lead.state.stop and lead.state.status not in {"unwinding", "rolled_back"}:
        intake.events.append(refusal(request, DELIVERED, at))


def _refund(intake: Intake, request: RefundRequested, lead: Stored | None, saga: Saga, at: datetime) -> bool:
    """Whether a refund saga is to begin. Before usage is recorded, asking for a refund is a cancel; while it
    may just be happening nobody can say which of the two it is, so the asker is told to come back."""
    if lead is None:
        intake.events.append(refusal(request, "there is no such request", at))
    elif lead.state.pivoted:
        return True
    elif lead.state.status == "rolled_back":
        intake.events.append(refusal(request, "the request failed and nothing was charged for it", at))
    elif at_pivot(saga, lead.state):
        intake.events.append(refusal(request, BEING_DELIVERED, at))
    elif can_cancel(lead.state):
        reason = f"refund asked before delivery: {request.reason}"
        intake.news.append((lead.key, Cancel(at=at, by=request.requested_by, reason=reason)))
    return False


async def _begin(
    group: Group,
    intake: Intake,
    beginning: Sequence[tuple[Asked, Saga]],
    at: datetime,
    new_id: Callable[[], UUID],
) -> None:
    incoming = [
        Incoming(
            tenant_id=item.request.tenant_id,
            saga=saga.name,
            request_id=_dedupe_id(item),
            content_hash=content_hash(item),
            saga_id=new_id(),
        )
        for item, saga in beginning
    ]
    admissions = await group.admit(incoming)
    for (item, saga), wanted, admission in zip(beginning, incoming, admissions, strict=True):
        match admission:
            case Admitted(key):
                intake.created[key] = Stored(
                    key=key,
                    saga=saga.name,
                    version=saga.version,
                    request_id=wanted.request_id,
                    entries=0,
                    state=State(),
                )
                request = item.request.model_dump(mode="json")
                intake.news.append((key, Accept(at=at, request=request)))
            case Attached(key):
                intake.attached.append((key, item))
            case Refused(reason):
                intake.events.append(refusal(item.request, reason, at))


def _dedupe_id(item: Asked) -> str:
    request = item.request
    return request.refund_id if isinstance(request, RefundRequested) else request.request_id


def content_hash(item: Asked) -> bytes:
    """Of the parsed request, so that neither key order nor unknown fields make two of one."""
    return hashlib.sha256(item.request.model_dump_json().encode()).digest()
