"""One saga's story, from everything that is on record of it: what a violation is read with."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from orchestrator.store.port import SagaKey
from tests.kit.history.records import History, Logged

_DULL = frozenset({"at", "kind", "step", "direction", "attempt", "request", "due_at", "deadline_at"})
LONGEST = 160


def story(history: History, key: SagaKey) -> list[str]:
    """Its log with times, then what the others have on record. Lines fit to be printed."""
    saga = history.by_key.get(key)
    head = "no such saga" if saga is None else f"{saga.saga} {saga.request_id}: {saga.status}"
    lines = [f"{key[0]} {key[1]}  {head}"]
    lines += [f"  {_entry(logged)}" for logged in (saga.log if saga else ())]
    lines += [f"  {line}" for line in _records(history, key)]
    return [line[:LONGEST] for line in lines]


def _entry(logged: Logged) -> str:
    entry = logged.entry
    named = {each.name: getattr(entry, each.name) for each in fields(entry) if each.name not in _DULL}
    said = ", ".join(
        f"{name}={_short(value)}" for name, value in named.items() if value not in ("", False, {})
    )
    where = " ".join(
        str(getattr(entry, name)) for name in ("direction", "step", "attempt") if hasattr(entry, name)
    )
    return f"{logged.seq:3} {entry.at:%H:%M:%S.%f} {entry.kind:16} {where}  {said}"


def _records(history: History, key: SagaKey) -> Iterator[str]:
    for effect in history.effects_of.get(key, ()):
        answer = "no answer" if effect.answer is None else effect.answer.kind
        yield (
            f"effect of {effect.direction} {effect.step}: {effect.state}, attempt {effect.attempt}, "
            f"answered {effect.answered} with {answer}{', owed' if effect.owed else ''}"
        )
    if leads := history.leads_of.get(key):
        yield f"leads: {leads.visible} visible, {leads.drafts} drafts"
    if hold := history.hold_of.get(key):
        yield f"hold: {hold.leads}, {hold.state}"
    for row in history.ledger_of.get(key, ()):
        intents = _intents(history, row.key[0], row.ledger_id)
        yield f"ledger: {row.kind} of {row.leads}, carried by {intents or 'nothing'}"
    for event in history.heard_of.get(key, ()):
        yield f"upstream heard {event.name} {event.event_id}"


def _intents(history: History, tenant_id: str, ledger_id: Any) -> str:
    carried = {
        carrier.intent_id
        for carrier in history.carriers or ()
        if (carrier.tenant_id, carrier.ledger_id) == (tenant_id, ledger_id)
    }
    intents = (intent for intent in history.intents or () if intent.intent_id in carried)
    return ", ".join(f"{intent.identifier} ({intent.state}, {intent.value})" for intent in intents)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
