"""How sagas began and ended: none lost, none forgotten, and turned back in order."""

from collections import Counter
from collections.abc import Iterator

from orchestrator.core.log import Parked, Requested, Succeeded
from orchestrator.core.state import ENDED
from tests.kit.history.records import History, SagaRow
from tests.kit.history.violation import Finding


def accepted_requests_have_a_saga(history: History) -> Iterator[Finding]:
    """What the broker confirmed began a saga, or its asker heard a refusal. A cancel means a lead saga."""
    if not history.settled or history.heard is None:
        return
    sagas = {(saga.key[0], saga.saga, saga.request_id) for saga in history.sagas}
    refused = {
        (
            event.tenant_id,
            "lead" if event.refund_id is None else "refund",
            event.refund_id or event.request_id,
        )
        for event in history.heard
        if event.name == "refused"
    }
    for asked in history.asked or ():
        saga = "refund" if asked.kind == "refund" else "lead"
        if (asked.tenant_id, saga, asked.id) not in sagas | refused:
            yield asked.tenant_id, f"the {asked.kind} {asked.id} was confirmed, and never heard of again"


def requests_begin_one_saga(history: History) -> Iterator[Finding]:
    """However often the same request was asked."""
    counted = Counter((saga.key[0], saga.saga, saga.request_id) for saga in history.sagas)
    for (tenant_id, saga, request_id), times in counted.items():
        if times > 1:
            yield tenant_id, f"{saga} {request_id} began {times} sagas"


def sagas_end(history: History) -> Iterator[Finding]:
    if not history.settled:
        return
    for saga in history.sagas:
        if saga.status not in ENDED | {"parked"}:
            yield saga.key, f"everything is quiet, and it is {saga.status}"


def parked_sagas_say_why(history: History) -> Iterator[Finding]:
    open_letters = {letter.key for letter in history.dead_letters or () if letter.status == "open"}
    for saga in history.sagas:
        if saga.status != "parked":
            continue
        reasons = [logged.entry.reason for logged in saga.log if isinstance(logged.entry, Parked)]
        if not reasons or not reasons[-1]:
            yield saga.key, "it is parked without a reason"
        if history.dead_letters is not None and saga.key not in open_letters:
            yield saga.key, "it is parked, and no open dead letter says so"


def ended_sagas_have_no_open_letter(history: History) -> Iterator[Finding]:
    for letter in history.dead_letters or ():
        saga = history.by_key.get(letter.key) if letter.key else None
        if letter.status == "open" and saga is not None and saga.status in ENDED:
            yield saga.key, f"it has {saga.status}, and its dead letter of {letter.queue} is still open"


def undos_run_newest_first(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        definition = history.definitions[saga.saga, saga.version]
        order = [step.name for step in definition.steps]
        undone = _succession(saga)
        if undone != sorted(undone, key=order.index, reverse=True):
            yield saga.key, f"undone in the order {', '.join(undone)}"


def nothing_is_undone_after_the_pivot(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        definition = history.definitions[saga.saga, saga.version]
        pivoted = False
        for entry in (logged.entry for logged in saga.log):
            match entry:
                case Succeeded(step=step, direction="do"):
                    pivoted = pivoted or definition.step(step).kind == "pivot"
                case Requested(step=step, direction="undo") if pivoted:
                    yield saga.key, f"{step} was to be undone although the pivot had happened"
                    break
                case _:
                    pass


def _succession(saga: SagaRow) -> list[str]:
    """Steps in the order in which their undo was first asked for."""
    asked = (
        logged.entry.step
        for logged in saga.log
        if isinstance(logged.entry, Requested) and logged.entry.direction == "undo"
    )
    return list(dict.fromkeys(asked))


RULES = (
    accepted_requests_have_a_saga,
    requests_begin_one_saga,
    sagas_end,
    parked_sagas_say_why,
    ended_sagas_have_no_open_letter,
    undos_run_newest_first,
    nothing_is_undone_after_the_pivot,
)
