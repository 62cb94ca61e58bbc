"""Histories whose logs or endings are wrong: what happened, the rule that notices, and how it is made."""

from collections.abc import Callable
from dataclasses import replace

from contracts.outcomes import Rejected
from orchestrator.core.log import Ended, Entry, Parked, Requested, Succeeded
from orchestrator.core.state import replay
from orchestrator.sagas.lead import LEAD
from tests.kit.history.records import AskedRequest, DeadLetter, History, Logged, SagaRow
from tests.unit.history.samples import (
    DELIVERED,
    FAILED,
    FORWARD,
    T0,
    UNWOUND,
    answer,
    changed,
    done,
    named,
    row,
    saga_of,
    with_saga,
    without,
)

Break = Callable[[History], History]


def relogged(history: History, saga: SagaRow, entries: list[Entry]) -> History:
    """With another log, and the state that this one leads to."""
    state = replay(LEAD, entries)
    log = tuple(Logged(seq, entry) for seq, entry in enumerate(entries, 1))
    return with_saga(history, replace(saga, log=log, entries=len(log), state=state, status=state.status))


def entries_of(saga: SagaRow) -> list[Entry]:
    return [logged.entry for logged in saga.log]


def _missing_entry(history: History) -> History:
    saga = saga_of(history, DELIVERED)
    return with_saga(history, replace(saga, log=saga.log[:3] + saga.log[4:]))


def _miscounted(history: History) -> History:
    return with_saga(history, replace(saga_of(history, DELIVERED), entries=7))


def _other_status(history: History) -> History:
    return with_saga(history, replace(saga_of(history, FAILED), status="completed"))


def _other_state(history: History) -> History:
    saga = saga_of(history, DELIVERED)
    assert saga.state is not None
    return with_saga(history, replace(saga, state=replace(saga.state, pivoted=False)))


def _undecided(history: History) -> History:
    """A step is asked although the one before it has not answered."""
    saga = saga_of(history, DELIVERED)
    entries = [
        entry
        for entry in entries_of(saga)
        if not (isinstance(entry, Succeeded) and entry.step == "reserve_quota")
    ]
    return relogged(history, saga, entries)


def _never_ended(history: History) -> History:
    return with_saga(history, row(DELIVERED, LEAD, {"request_id": "r-1", "leads": 4}, *FORWARD[:-1]))


def _parked(history: History) -> History:
    """As it should be: with its dead letter."""
    refused = answer("report_to_stripe", Rejected(reason="no such customer"))
    saga = row(DELIVERED, LEAD, {"request_id": "r-1", "leads": 4}, *FORWARD[:3], refused)
    letter = DeadLetter(key=DELIVERED, queue="report_to_stripe", error="Rejected", status="open")
    return replace(with_saga(history, saga), dead_letters=[letter])


def _parked_unseen(history: History) -> History:
    return replace(_parked(history), dead_letters=[])


def _parked_for_nothing(history: History) -> History:
    history = _parked(history)
    saga = saga_of(history, DELIVERED)
    entries = [
        replace(entry, reason="") if isinstance(entry, Parked) else entry for entry in entries_of(saga)
    ]
    return relogged(history, saga, entries)


def _letter_of_an_ended_saga(history: History) -> History:
    letter = DeadLetter(key=DELIVERED, queue="report_to_stripe", error="Rejected", status="open")
    return replace(history, dead_letters=[letter])


def _lost_request(history: History) -> History:
    asked = AskedRequest(tenant_id="acme", kind="lead", id="r-3")
    return replace(history, asked=[*(history.asked or ()), asked])


def _oldest_first(history: History) -> History:
    saga = row(FAILED, LEAD, {"request_id": "r-2", "leads": 2}, *UNWOUND[:4])
    asked = next(entry for entry in reversed(entries_of(saga)) if isinstance(entry, Requested))
    first = replace(asked, step="reserve_quota")
    return relogged(history, saga, [*entries_of(saga)[:-1], first, asked])


def _undone_after_the_pivot(history: History) -> History:
    saga = saga_of(history, DELIVERED)
    asked = next(entry for entry in entries_of(saga) if isinstance(entry, Requested))
    undo = replace(asked, step="generate_leads", direction="undo")
    return relogged(history, saga, [*entries_of(saga)[:-1], undo])


def _step_left_out(history: History) -> History:
    saga = row(DELIVERED, LEAD, {"request_id": "r-1", "leads": 4}, *FORWARD[:3])
    return relogged(history, saga, [*entries_of(saga), Ended(at=T0, outcome="completed")])


def _succeeded_twice(history: History) -> History:
    saga = row(DELIVERED, LEAD, {"request_id": "r-1", "leads": 4}, done("reserve_quota"))
    twice = next(entry for entry in entries_of(saga) if isinstance(entry, Succeeded))
    return relogged(history, saga, [*entries_of(saga), twice])


def _forgotten(history: History) -> History:
    return without(history, "sagas", key=FAILED)


def _begun_twice(history: History) -> History:
    again = replace(saga_of(history, FAILED), key=("acme", named("again")))
    return replace(history, sagas=[*history.sagas, again])


def _refused_unheard(history: History) -> History:
    """Upstream was never told that a refund was refused."""
    return changed(history, "asked", {"id": "f-1"}, id="f-2")


BREAKS: dict[str, tuple[str, Break]] = {
    "an entry is missing": ("log_has_no_gaps", _missing_entry),
    "the row counts other entries": ("log_has_no_gaps", _miscounted),
    "the row has another status": ("state_is_the_fold_of_the_log", _other_status),
    "the row has another state": ("state_is_the_fold_of_the_log", _other_state),
    "nobody decided an entry": ("entries_are_decisions", _undecided),
    "a saga never ends": ("sagas_end", _never_ended),
    "a parked saga is in no dead letter": ("parked_sagas_say_why", _parked_unseen),
    "a parked saga does not say why": ("parked_sagas_say_why", _parked_for_nothing),
    "an ended saga has an open letter": ("ended_sagas_have_no_open_letter", _letter_of_an_ended_saga),
    "a request was lost": ("accepted_requests_have_a_saga", _lost_request),
    "a saga was lost": ("accepted_requests_have_a_saga", _forgotten),
    "a request began two sagas": ("requests_begin_one_saga", _begun_twice),
    "a refusal was lost": ("accepted_requests_have_a_saga", _refused_unheard),
    "the oldest step was undone first": ("undos_run_newest_first", _oldest_first),
    "a step was undone after the pivot": ("nothing_is_undone_after_the_pivot", _undone_after_the_pivot),
    "a step was left out": ("completed_sagas_did_every_step", _step_left_out),
    "a step succeeded twice": ("steps_succeed_once", _succeeded_twice),
}
