"""From what arrived to news of sagas: who is new, who is meant, who is refused."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.requests import CancelRequested, LeadRequested, RefundRequested, TenantRequested
from orchestrator.core.definition import Saga
from orchestrator.core.moves import at_pivot
from orchestrator.core.news import Accept, Cancel, News
from orchestrator.core.orders import can_cancel
from orchestrator.core.state import State
from orchestrator.run.items import Asked
from orchestrator.run.speech import refusal
from orchestrator.store.port import (
    Admitted,
    Attached,
    EventOut,
    Foreign,
    Group,
    Incoming,
    Refused,
    SagaKey,
    Stored,
)

DELIVERED = "the leads are delivered already; ask for a refund instead"
NO_REQUEST = "there is no such request"
CANCELLED_INSTEAD = "nothing was delivered or charged yet: the request is cancelled instead"
BEING_UPGRADED = "the system is being upgraded and cannot say yet; ask again in a few minutes"
BEING_DELIVERED = "the leads are being delivered at this moment; ask again once the request has completed"


Leads = dict[tuple[str, str], Stored | Foreign]
"""By tenant and request id."""


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
    leads = await _meant(group, asked)
    requests = [(item, current["lead"]) for item in asked if isinstance(item.request, LeadRequested)]
    refunds = [
        (item, current["refund"])
        for item in asked
        if isinstance(item.request, RefundRequested) and _may_refund(leads, item.request)
    ]
    tenants = [
        (item, current["provision_tenant"]) for item in asked if isinstance(item.request, TenantRequested)
    ]
    await _begin(group, intake, [*requests, *refunds, *tenants], at, new_id)
    # A cancel may come right behind the request that it means.
    leads |= {
        (key[0], stored.request_id): stored for key, stored in intake.created.items() if stored.saga == "lead"
    }
    for item in asked:
        match item.request:
            case CancelRequested() as request:
                _cancel(intake, request, leads.get((request.tenant_id, request.request_id)), at)
            case RefundRequested() as request if not _may_refund(leads, request):
                lead = leads.get((request.tenant_id, request.request_id))
                _refund_instead(intake, request, lead, current["lead"], at)
            case _:
                pass
    return intake


async def _meant(group: Group, asked: Sequence[Asked]) -> Leads:
    """The lead sagas that cancels and refunds speak of, locked."""
    wanted = {
        (item.request.tenant_id, "lead", item.request.request_id)
        for item in asked
        if isinstance(item.request, CancelRequested | RefundRequested)
    }
    if not wanted:
        return {}
    found = await group.find(wanted)
    stored = await group.load(set(found.values()))
    return {(name[0], name[2]): stored[key] for name, key in found.items() if key in stored}


def _cancel(intake: Intake, request: CancelRequested, lead: Stored | Foreign | None, at: datetime) -> None:
    if lead is None:
        intake.events.append(refusal(request, NO_REQUEST, at))
    elif isinstance(lead, Foreign):
        intake.events.append(refusal(request, BEING_UPGRADED, at))
    elif _is_new(lead) or can_cancel(lead.state):
        intake.news.append((lead.key, Cancel(at=at, by=request.requested_by, reason=request.reason)))
    elif not lead.state.stop and lead.state.status not in {"unwinding", "rolled_back"}:
        intake.events.append(refusal(request, DELIVERED, at))


def _is_new(lead: Stored) -> bool:
    """Accepted in this very group: its first entry is decided before the cancel."""
    return lead.entries == 0


def _may_refund(leads: Leads, request: RefundRequested) -> bool:
    """Once usage is recorded; a refund that asks for too much is refused by its own saga."""
    lead = leads.get((request.tenant_id, request.request_id))
    return isinstance(lead, Stored) and lead.state.pivoted


def _refund_instead(
    intake: Intake, request: RefundRequested, lead: Stored | Foreign | None, saga: Saga, at: datetime
) -> None:
    """Before usage is recorded, asking for a refund is a cancel; while that may just be happening nobody can
    say which of the two it is, so the asker is told to come back."""
    reason = CANCELLED_INSTEAD
    if lead is None:
        reason = NO_REQUEST
    elif isinstance(lead, Foreign):
        reason = BEING_UPGRADED
    elif lead.state.status == "rolled_back":
        reason = "the request failed and nothing was charged for it"
    elif at_pivot(saga, lead.state):
        reason = BEING_DELIVERED
    elif _is_new(lead) or can_cancel(lead.state):
        asked = f"refund asked before delivery: {request.reason}"
        intake.news.append((lead.key, Cancel(at=at, by=request.requested_by, reason=asked)))
    intake.events.append(refusal(request, reason, at))


async def _begin(
    group: Group,
    intake: Intake,
    beginning: Sequence[tuple[Asked, Saga]],
    at: datetime,
    new_id: Callable[[], UUID],
) -> None:
    if not beginning:
        return
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
    """Of the parsed request, so that neither key order, unknown fields, nor fields that a later release adds
    with a default make two of one."""
    return hashlib.sha256(item.request.model_dump_json(exclude_defaults=True).encode()).digest()
