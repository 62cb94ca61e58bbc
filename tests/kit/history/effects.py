"""What steps did, against what they were asked for: nothing twice, nothing unasked, nothing left behind."""

from collections import Counter
from collections.abc import Iterator

from contracts.ids import Direction
from contracts.outcomes import Done, Unknown
from orchestrator.core.log import Failed, Requested, ResolvedByHand, Succeeded
from tests.kit.history.records import EffectRow, History, SagaRow
from tests.kit.history.violation import Finding

_Named = tuple[str, Direction]


def effects_were_asked_for(history: History) -> Iterator[Finding]:
    """No attempt ever ran that the log did not ask for before."""
    for effect in history.effects or ():
        saga = history.by_key.get(effect.key)
        if saga is None:
            yield effect.key, f"{_name(effect)} has an effect, and there is no such saga"
            continue
        asked = max(
            (entry.attempt for entry in _entries(saga, effect) if isinstance(entry, Requested)), default=0
        )
        if effect.attempt > asked:
            yield effect.key, f"attempt {effect.attempt} of {_name(effect)} ran, {asked} were asked for"


def steps_succeed_once(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        succeeded = Counter(
            (logged.entry.step, logged.entry.direction)
            for logged in saga.log
            if isinstance(logged.entry, Succeeded)
        )
        for (step, direction), times in succeeded.items():
            if times > 1:
                yield saga.key, f"{direction} {step} succeeded {times} times"


def log_and_effects_agree(history: History) -> Iterator[Finding]:
    """What the log says of an attempt is what its step answered, as far as the answer is still on record."""
    if history.effects is None:
        return
    for saga in history.sagas:
        rows = {(effect.step, effect.direction): effect for effect in history.effects_of.get(saga.key, ())}
        for entry in (logged.entry for logged in saga.log):
            match entry:
                case Succeeded(by=""):
                    effect = rows.get((entry.step, entry.direction))
                    if effect is None or not isinstance(effect.answer, Done):
                        yield saga.key, f"{entry.direction} {entry.step} succeeded, and has no such answer"
                    elif (effect.answered, effect.answer.facts) != (entry.attempt, entry.facts):
                        yield saga.key, f"{entry.direction} {entry.step} succeeded with another answer"
                case Failed(verdict="rejected" | "transient" | "unknown"):
                    effect = rows.get((entry.step, entry.direction))
                    answer = effect.answer if effect and effect.answered == entry.attempt else None
                    if answer is not None and answer.kind != entry.verdict:
                        name = f"attempt {entry.attempt} of {entry.direction} {entry.step}"
                        yield saga.key, f"{name} was {answer.kind}, and the log says {entry.verdict}"
                case _:
                    pass


def effects_are_in_the_log(history: History) -> Iterator[Finding]:
    """What took effect, and was not taken back, the log says; a best-effort step may have been given up."""
    if not history.settled:
        return
    for effect in history.effects or ():
        saga = history.by_key.get(effect.key)
        if saga is None or effect.state != "done":
            continue
        skipped = any(
            logged.entry.kind == "skipped" and logged.entry.step == effect.step for logged in saga.log
        )
        if skipped or _waits_for_its_undo(saga, effect):
            continue
        if not any(isinstance(entry, Succeeded) for entry in _entries(saga, effect)):
            yield effect.key, f"{_name(effect)} took effect, and the log does not say so"


def no_answer_is_owed(history: History) -> Iterator[Finding]:
    """An answer that a later job was to give has been given."""
    if history.settled:
        for effect in history.effects or ():
            saga = history.by_key.get(effect.key)
            if effect.owed and (saga is None or saga.status != "parked"):
                yield effect.key, f"the answer of {_name(effect)} is still owed"


def rolled_back_sagas_leave_nothing(history: History) -> Iterator[Finding]:
    """Of no step that may have had an effect anything is left."""
    for saga in history.sagas:
        if saga.status != "rolled_back":
            continue
        leads = history.leads_of.get(saga.key)
        if leads is not None and (leads.visible or leads.drafts):
            yield saga.key, f"rolled back, with {leads.visible} visible leads and {leads.drafts} drafts left"
        if history.ledger_of.get(saga.key):
            yield saga.key, "rolled back, and in the ledger"
        hold = history.hold_of.get(saga.key)
        if hold is not None and hold.state != "released":
            yield saga.key, f"rolled back, and its hold is {hold.state}"
        for effect in history.effects_of.get(saga.key, ()):
            if effect.direction == "do" and effect.state != "undone" and _may_have_happened(saga, effect):
                yield saga.key, f"rolled back, and {effect.step}, which may have happened, is {effect.state}"


def completed_sagas_did_every_step(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        if saga.status != "completed":
            continue
        ended = {logged.entry.step for logged in saga.log if logged.entry.kind in {"succeeded", "skipped"}}
        for step in history.definitions[saga.saga, saga.version].steps:
            if step.name not in ended:
                yield saga.key, f"completed without {step.name}"


def _waits_for_its_undo(saga: SagaRow, effect: EffectRow) -> bool:
    """The saga turned back before the step answered, and is parked before it could be undone."""
    state = saga.state
    return (
        state is not None
        and (state.status, state.direction) == ("parked", "undo")
        and effect.step in state.armed
    )


def _may_have_happened(saga: SagaRow, effect: EffectRow) -> bool:
    """Done; or an attempt whose answer left it open, or that got no answer, if nobody settled it by hand."""
    if effect.state == "done" or isinstance(effect.answer, Done):
        return True
    entries = list(_entries(saga, effect))
    if any(isinstance(entry, ResolvedByHand) for entry in entries):
        return False
    if isinstance(effect.answer, Unknown):
        return True
    asked = [entry.attempt for entry in entries if isinstance(entry, Requested)]
    clean = {
        entry.attempt
        for entry in entries
        if isinstance(entry, Failed) and entry.verdict in {"rejected", "transient"} and not entry.progress
    }
    return not clean.issuperset(asked)


def _entries(saga: SagaRow, effect: EffectRow) -> Iterator[Requested | Succeeded | Failed | ResolvedByHand]:
    """Of this effect's step and direction."""
    for entry in (logged.entry for logged in saga.log):
        match entry:
            case Requested() | Succeeded() | Failed() | ResolvedByHand():
                if (entry.step, entry.direction) == (effect.step, effect.direction):
                    yield entry
            case _:
                pass


def _name(effect: EffectRow) -> str:
    return f"{effect.direction} {effect.step}"


RULES = (
    effects_were_asked_for,
    steps_succeed_once,
    log_and_effects_agree,
    effects_are_in_the_log,
    no_answer_is_owed,
    rolled_back_sagas_leave_nothing,
    completed_sagas_did_every_step,
)
