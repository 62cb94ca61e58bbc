"""Two small sagas as they should be: one delivered and partly refunded, one rolled back. Tests break them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from contracts.ids import Direction
from contracts.outcomes import Done, Outcome, Rejected, Unknown
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry
from orchestrator.core.machine import decide
from orchestrator.core.news import Accept, Due, News, Replied, Start
from orchestrator.core.state import State, evolve
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.refund import REFUND
from orchestrator.store.port import SagaKey
from tests.kit.history.check import check
from tests.kit.history.records import (
    AskedRequest,
    Carrier,
    EffectRow,
    HeardEvent,
    History,
    Hold,
    IntentRow,
    LeadCount,
    LedgerRow,
    Logged,
    MeterEvent,
    MeterTotal,
    ModelCalls,
    Notice,
    Quota,
    SagaRow,
)

T0 = datetime(2027, 1, 1, tzinfo=UTC)
SPACE = UUID(int=1)
CUSTOMER = "cus_1"


def named(name: str) -> UUID:
    return uuid5(SPACE, name)


DELIVERED: SagaKey = ("acme", named("delivered"))
REFUNDED: SagaKey = ("acme", named("refunded"))
FAILED: SagaKey = ("acme", named("failed"))
USAGE, REVERSAL, INTENT = named("usage"), named("reversal"), named("intent")


def answer(step: str, outcome: Outcome, direction: Direction = "do", attempt: int = 1) -> Replied:
    return Replied(at=T0, step=step, direction=direction, attempt=attempt, outcome=outcome, draw=0.0)


def done(step: str, direction: Direction = "do", **facts: Any) -> Replied:
    return answer(step, Done(facts=facts), direction)


def row(key: SagaKey, saga: Saga, request: dict[str, Any], *news: News) -> SagaRow:
    """What the machine makes of the news, from acceptance on."""
    state, log = State(), list[Entry]()
    for each in (Accept(at=T0, request=request), Start(at=T0), *news):
        for entry in decide(saga, state, each):
            state = evolve(saga, state, entry)
            log.append(entry)
    request_id = request.get("refund_id") or request["request_id"]
    return SagaRow(
        key=key,
        saga=saga.name,
        request_id=request_id,
        status=state.status,
        state=state,
        entries=len(log),
        log=tuple(Logged(seq, entry) for seq, entry in enumerate(log, 1)),
    )


def answered(key: SagaKey, replies: Sequence[Replied], undone: Sequence[str] = ()) -> list[EffectRow]:
    """The effects behind those answers."""
    return [
        EffectRow(
            key=key,
            step=reply.step,
            direction=reply.direction,
            state="undone" if undone and reply.direction == "do" else "done",
            attempt=reply.attempt,
            answered=reply.attempt,
            answer=reply.outcome,
        )
        for reply in replies
        if reply.direction == "undo" or isinstance(reply.outcome, Done) or reply.step in undone
    ]


def heard(name: str, key: SagaKey, request_id: str, **more: Any) -> HeardEvent:
    event_id = uuid5(key[1], f"{name} {more.get('part', 0)}")
    return HeardEvent(
        event_id=event_id, name=name, tenant_id=key[0], request_id=request_id, saga_id=key[1], **more
    )


FORWARD = (
    done("reserve_quota"),
    done("generate_leads"),
    done("record_usage", leads=3),
    done("report_to_stripe"),
    done("notify_discord"),
)
BACK = (done("refund_usage", leads=1), done("refund_at_stripe"), done("notify_discord"))
UNWOUND = (
    done("reserve_quota"),
    answer("generate_leads", Unknown(reason="it fell silent")),
    Due(at=T0.replace(year=2028)),
    answer("generate_leads", Rejected(reason="no leads"), attempt=2),
    done("generate_leads", "undo"),
    done("reserve_quota", "undo"),
)


def good() -> History:
    """Nothing is wrong with it."""
    replies = [news for news in UNWOUND if isinstance(news, Replied)]
    unwound = [replies[0], replies[2], *replies[3:]]
    return History(
        sagas=[
            row(DELIVERED, LEAD, {"request_id": "r-1", "leads": 4}, *FORWARD),
            row(REFUNDED, REFUND, {"request_id": "r-1", "refund_id": "f-1", "leads": 1}, *BACK),
            row(FAILED, LEAD, {"request_id": "r-2", "leads": 2}, *UNWOUND),
        ],
        effects=[
            *answered(DELIVERED, FORWARD),
            *answered(REFUNDED, BACK),
            *answered(FAILED, unwound, undone=("reserve_quota", "generate_leads")),
        ],
        leads=[LeadCount(key=DELIVERED, visible=3)],
        ledger=[
            LedgerRow(key=DELIVERED, ledger_id=USAGE, request_id="r-1", kind="usage", leads=3),
            LedgerRow(
                key=REFUNDED,
                ledger_id=REVERSAL,
                request_id="r-1",
                kind="reversal",
                leads=-1,
                original_id=USAGE,
            ),
        ],
        carriers=[
            Carrier(tenant_id="acme", ledger_id=USAGE, intent_id=INTENT),
            Carrier(tenant_id="acme", ledger_id=REVERSAL, intent_id=INTENT),
        ],
        intents=[
            IntentRow(
                tenant_id="acme",
                intent_id=INTENT,
                identifier="i-1",
                customer=CUSTOMER,
                value=2,
                state="confirmed",
            )
        ],
        holds=[
            Hold(key=DELIVERED, leads=4, state="settled"),
            Hold(key=FAILED, leads=2, state="released"),
        ],
        quotas=[Quota(tenant_id="acme", used=2, held=0)],
        heard=[
            heard("accepted", DELIVERED, "r-1"),
            heard("leads_ready", DELIVERED, "r-1", leads=2, part=1, parts=2, total=3),
            heard("leads_ready", DELIVERED, "r-1", leads=1, part=2, parts=2, total=3),
            heard("completed", DELIVERED, "r-1", leads=3),
            heard("accepted", REFUNDED, "r-1", refund_id="f-1"),
            heard("refunded", REFUNDED, "r-1", refund_id="f-1", leads=1),
            heard("accepted", FAILED, "r-2"),
            heard("failed", FAILED, "r-2"),
        ],
        waiting=[],
        dead_letters=[],
        asked=[
            AskedRequest(tenant_id="acme", kind="lead", id="r-1"),
            AskedRequest(tenant_id="acme", kind="refund", id="f-1"),
            AskedRequest(tenant_id="acme", kind="lead", id="r-2"),
            AskedRequest(tenant_id="acme", kind="cancel", id="r-2"),
        ],
        meters=[MeterTotal(customer=CUSTOMER, event_name="leads_delivered", total=2)],
        meter_events=[MeterEvent(customer=CUSTOMER, identifier="i-1", value=2)],
        model_calls=[ModelCalls(key=DELIVERED, begun=1, known=1), ModelCalls(key=FAILED, known=2)],
        calls_at_vendor=4,
        notices=[
            Notice(key=DELIVERED, event="completed", state="sent", said=1),
            Notice(key=FAILED, event="failed", state="unknown", said=0),
        ],
    )


def broken(history: History) -> set[str]:
    """The rules that a history breaks."""
    return {violation.rule for violation in check(history)}


def with_saga(history: History, changed: SagaRow) -> History:
    rest = [saga for saga in history.sagas if saga.key != changed.key]
    return replace(history, sagas=[*rest, changed])


def saga_of(history: History, key: SagaKey) -> SagaRow:
    return history.by_key[key]


def without(history: History, field: str, **which: Any) -> History:
    """Leaves out the records of a field that have these values."""
    values: dict[str, Any] = {field: [each for each in getattr(history, field) if not _is(each, which)]}
    return replace(history, **values)


def changed(history: History, field: str, which: dict[str, Any], **values: Any) -> History:
    """Changes the records of a field that have these values; there is at least one."""
    records = getattr(history, field)
    assert any(_is(each, which) for each in records)
    fields: dict[str, Any] = {
        field: [replace(each, **values) if _is(each, which) else each for each in records]
    }
    return replace(history, **fields)


def _is(record: object, which: dict[str, Any]) -> bool:
    return all(getattr(record, name) == value for name, value in which.items())
