"""From what a world has in its stores to the history that the checker reads."""

from typing import TYPE_CHECKING, Any

from orchestrator.store.codec import read_entry
from tests.kit.history.records import (
    Carrier,
    DeadLetter,
    EffectRow,
    History,
    LeadCount,
    Logged,
    MeterEvent,
    MeterTotal,
    SagaRow,
    WaitingEvent,
)
from tests.kit.history.upstream import heard_event
from tests.simulation.books import Books

if TYPE_CHECKING:
    from tests.simulation.world import World


def history_of(world: "World") -> History:
    books: Books = world.memory.tables.content
    tables = world.store._tables
    return History(
        sagas=[_saga(key, row) for key, row in sorted(tables.sagas.items())],
        definitions=world.sagas,
        settled=not world.findings,
        effects=[_effect(key, row) for key, row in sorted(world.memory.tables.effects.items())],
        leads=[
            LeadCount(key=key, visible=books.visible.get(key, 0), drafts=books.drafts.get(key, 0))
            for key in sorted(books.visible.keys() | books.drafts.keys())
        ],
        ledger=list(books.ledger.values()),
        carriers=[
            Carrier(tenant_id=books.ledger[ledger_id].key[0], ledger_id=ledger_id, intent_id=intent_id)
            for ledger_id, intent_id in books.carriers.items()
        ],
        intents=list(books.intents.values()),
        holds=list(books.holds.values()),
        quotas=list(books.quotas.values()),
        heard=[heard_event(body) for body in world.upstream.heard.values()],
        waiting=[
            WaitingEvent(event_id=event.event_id, tenant_id=event.tenant_id, name=event.event)
            for event, *_ in tables.events.values()
        ],
        dead_letters=[_letter(letter) for letter in world.store.letters()],
        asked=world.upstream.asked,
        meters=_meters(world),
        meter_events=[
            MeterEvent(customer=customer, identifier=identifier, value=value, times=times)
            for (customer, identifier, value), times in world.vendors.counted.items()
        ],
        notices=[
            notice.__class__(
                key=notice.key, event=notice.event, state=notice.state, said=world.vendors.said[name]
            )
            for name, notice in books.notices.items()
        ],
    )


def _saga(key: Any, row: Any) -> SagaRow:
    return SagaRow(
        key=key,
        saga=row.saga,
        request_id=row.request_id,
        status=row.status,
        version=row.version,
        state=row.state(),
        entries=len(row.log),
        log=tuple(Logged(seq, read_entry(text)) for seq, text in enumerate(row.log, 1)),
    )


def _effect(key: Any, row: Any) -> EffectRow:
    tenant_id, saga_id, step, direction = key
    effect = row.effect
    return EffectRow(
        key=(tenant_id, saga_id),
        step=step,
        direction=direction,
        state=effect.state,
        attempt=effect.attempt,
        answered=effect.answered,
        answer=effect.answer,
        owed=effect.owed,
    )


def _letter(letter: Any) -> DeadLetter:
    key = None if letter.saga_id is None else (letter.tenant_id, letter.saga_id)
    return DeadLetter(
        key=key,
        queue=letter.queue,
        error=letter.error,
        status=letter.status,
        step=letter.step,
        direction=letter.direction,
        attempt=letter.attempt,
    )


def _meters(world: "World") -> list[MeterTotal]:
    totals: dict[str, int] = {}
    for (customer, _, value), times in world.vendors.counted.items():
        totals[customer] = totals.get(customer, 0) + value * times
    return [
        MeterTotal(customer=customer, event_name="leads_delivered", total=total)
        for customer, total in totals.items()
    ]
