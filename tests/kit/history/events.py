"""What upstream heard: everything that happened at least once, and nothing that did not."""

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.core.log import Accepted, Ended, Parked
from tests.kit.history.records import HeardEvent, History, SagaRow
from tests.kit.history.violation import Finding

_OF_SAGAS = frozenset({"accepted", "completed", "failed", "refunded", "provisioned", "parked"})


def everything_was_heard(history: History) -> Iterator[Finding]:
    """Each acceptance, each end and each time that it was parked, at least once."""
    if history.heard is None or not history.settled:
        return
    for saga in history.sagas:
        heard = _told(history.heard_of.get(saga.key, ()))
        for name, times in _to_tell(history, saga).items():
            if heard[name] < times:
                yield saga.key, f"upstream heard {name} {heard[name]} times of {times}"


def nothing_else_was_heard(history: History) -> Iterator[Finding]:
    for key, events in history.heard_of.items():
        saga = history.by_key.get(key)
        for name in _told(events):
            if name in _OF_SAGAS and (saga is None or not _to_tell(history, saga)[name]):
                yield key, f"upstream heard {name}, and the log does not say so"


def delivery_was_heard(history: History) -> Iterator[Finding]:
    """The leads of all parts, and what the completion says, are what is in the ledger."""
    if history.heard is None or not history.settled:
        return
    usage = {row.key: row.leads for row in history.ledger or () if row.kind == "usage"}
    for key in history.heard_of.keys() | usage.keys():
        events = history.heard_of.get(key, ())
        parts = {event.part: event for event in events if event.name == "leads_ready"}
        if (parts or key in usage) and not _whole(parts, usage.get(key, 0)):
            brought = sum(part.leads or 0 for part in parts.values())
            yield key, f"{brought} leads arrived in {len(parts)} parts, {usage.get(key, 0)} were delivered"
        for event in events:
            if event.name == "completed" and event.leads not in {None, usage.get(key, 0)}:
                yield key, f"its completion speaks of {event.leads} leads, the ledger of {usage.get(key, 0)}"


def refunds_say_what_was_given_back(history: History) -> Iterator[Finding]:
    if history.ledger is None:
        return
    given = {row.key: -row.leads for row in history.ledger if row.kind == "reversal"}
    for key, events in history.heard_of.items():
        for event in events:
            if event.name == "refunded" and event.leads not in {None, given.get(key)}:
                yield key, f"upstream heard of {event.leads} refunded leads, the ledger says {given.get(key)}"


def no_event_waits_for_ever(history: History) -> Iterator[Finding]:
    if history.settled:
        for event in history.waiting or ():
            yield event.tenant_id, f"{event.name} {event.event_id} was never published"


def _told(events: Sequence[HeardEvent]) -> Counter[str]:
    """Repetitions of one event count once."""
    return Counter({event.event_id: event.name for event in events}.values())


def _to_tell(history: History, saga: SagaRow) -> Counter[str]:
    definition = history.definitions[saga.saga, saga.version]
    names: Counter[str] = Counter()
    for entry in (logged.entry for logged in saga.log):
        match entry:
            case Accepted():
                names["accepted"] += 1
            case Parked():
                names["parked"] += 1
            case Ended(outcome="completed"):
                names[definition.completes_as] += 1
            case Ended():
                names["failed"] += 1
            case _:
                pass
    return names


def _whole(parts: dict[int, HeardEvent], delivered: int) -> bool:
    """Every part of the same delivery, and together what was delivered."""
    totals = {(part.parts, part.total) for part in parts.values()}
    brought = sum(part.leads or 0 for part in parts.values())
    return totals == {(len(parts), delivered)} and brought == delivered


RULES = (
    everything_was_heard,
    nothing_else_was_heard,
    delivery_was_heard,
    refunds_say_what_was_given_back,
    no_event_waits_for_ever,
)
