"""Billed is delivered: leads, ledger, carriers, intents and the vendor's own record."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from uuid import UUID

from tests.kit.history.records import History, IntentRow, LedgerRow
from tests.kit.history.violation import Finding

_OPEN = frozenset({"pending", "sending", "ambiguous"})


def visible_leads_are_the_usage(history: History) -> Iterator[Finding]:
    """One ledger row a saga, and it counts exactly the leads that the customer can see."""
    for key, rows in history.ledger_of.items():
        if len(rows) > 1:
            yield key, f"it is in the ledger {len(rows)} times"
    if history.leads is None or history.ledger is None:
        return
    usage = Counter({row.key: row.leads for row in history.ledger if row.kind == "usage"})
    visible = {key: count.visible for key, count in history.leads_of.items()}
    for key in sorted(usage.keys() | visible.keys()):
        if usage[key] != visible.get(key, 0):
            yield key, f"{visible.get(key, 0)} leads are visible, {usage[key]} are in the ledger"


def reversals_never_exceed_usage(history: History) -> Iterator[Finding]:
    usage = {(row.key[0], row.ledger_id): row for row in history.ledger or () if row.kind == "usage"}
    taken: Counter[tuple[str, UUID | None]] = Counter()
    for row in history.ledger or ():
        if row.kind == "reversal":
            original = usage.get((row.key[0], row.original_id)) if row.original_id else None
            if original is None or original.request_id != row.request_id:
                yield row.key, "it takes back a usage that is not its request's"
            taken[row.key[0], row.original_id] -= row.leads
    for name, leads in taken.items():
        if name[1] and (billed := usage.get((name[0], name[1]))) and leads > billed.leads:
            yield billed.key, f"{leads} of {billed.leads} leads were taken back"


def ledger_rows_have_one_carrier(history: History) -> Iterator[Finding]:
    if history.carriers is None:
        return
    carried = Counter((carrier.tenant_id, carrier.ledger_id) for carrier in history.carriers)
    for row in history.ledger or ():
        times = carried[row.key[0], row.ledger_id]
        if times > 1 or (times == 0 and history.settled):
            yield row.key, f"its ledger row has {times} carriers"


def intents_carry_their_value(history: History) -> Iterator[Finding]:
    """What is sent is the sum of the rows it stands for."""
    if history.carriers is None or history.intents is None:
        return
    ledger = {(row.key[0], row.ledger_id): row for row in history.ledger or ()}
    rows: dict[tuple[str, UUID], list[LedgerRow]] = defaultdict(list)
    for carrier in history.carriers:
        row = ledger.get((carrier.tenant_id, carrier.ledger_id))
        if row is not None and carrier.intent_id is not None:
            rows[carrier.tenant_id, carrier.intent_id].append(row)
    for intent in history.intents:
        carried = rows.get((intent.tenant_id, intent.intent_id), [])
        total = sum(each.leads for each in carried)
        if intent.state == "missing":
            if carried:
                yield intent.tenant_id, f"intent {intent.intent_id} is missing, and still carries {total}"
        elif not carried or total != intent.value:
            yield (
                intent.tenant_id,
                f"intent {intent.intent_id} says {intent.value}, its {len(carried)} rows {total}",
            )


def sends_are_settled(history: History) -> Iterator[Finding]:
    if history.settled:
        for intent in history.intents or ():
            if intent.state in _OPEN:
                yield intent.tenant_id, f"intent {intent.intent_id} is still {intent.state}"


def vendor_counted_each_send_once(history: History) -> Iterator[Finding]:
    """Confirmed ones exactly once, with their value; refused ones never; and nothing that was not planned."""
    if history.meter_events is None or history.intents is None:
        return
    planned = {intent.identifier: intent for intent in history.intents}
    counted: Counter[str] = Counter()
    for event in history.meter_events:
        counted[event.identifier] += event.times
        intent = planned.get(event.identifier)
        if intent is None:
            yield event.customer, f"the vendor counted {event.identifier}, which nobody planned"
        elif (event.customer, event.value) != (intent.customer, intent.value):
            yield intent.tenant_id, f"the vendor counted another event as {event.identifier}"
    for intent in history.intents:
        times, least = counted[intent.identifier], _times_at_least(intent)
        most = 0 if intent.state in {"rejected", "missing", "manual"} else 1
        if not least <= times <= most:
            yield intent.tenant_id, f"the vendor counted a send that is {intent.state} {times} times"


def ledger_is_what_the_vendor_was_told(history: History) -> Iterator[Finding]:
    """Per customer and meter, once every send is settled. What the vendor refused lies parked: not told."""
    if history.meters is None or history.intents is None or not history.settled:
        return
    told = {(meter.customer, meter.event_name): meter.total for meter in history.meters}
    owed: Counter[tuple[str, str]] = Counter()
    credited = {(each.tenant_id, each.ledger_id) for each in history.carriers or () if each.intent_id is None}
    for row in history.ledger or ():
        if (row.key[0], row.ledger_id) not in credited:
            owed[row.key[0], row.event_name] += row.leads
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for intent in history.intents:
        if intent.state in {"rejected", "manual"}:
            owed[intent.tenant_id, intent.event_name] -= intent.value
        elif intent.value and intent.state != "missing":
            names[intent.tenant_id, intent.event_name].add(intent.customer)
    for (tenant_id, event_name), net in owed.items():
        heard = sum(told.get((customer, event_name), 0) for customer in names[tenant_id, event_name])
        if heard != net:
            yield tenant_id, f"the ledger says {net} {event_name}, the vendor was told {heard}"


def _times_at_least(intent: IntentRow) -> int:
    return int(intent.state == "confirmed" and intent.value != 0)


RULES = (
    visible_leads_are_the_usage,
    reversals_never_exceed_usage,
    ledger_rows_have_one_carrier,
    intents_carry_their_value,
    sends_are_settled,
    vendor_counted_each_send_once,
    ledger_is_what_the_vendor_was_told,
)
