"""Each saga's log: without gaps, the source of its state, and nothing but what the machine decides."""

from collections.abc import Iterator

from orchestrator.core.log import Entry
from orchestrator.core.state import State, evolve, replay
from tests.kit.history.decisions import decided
from tests.kit.history.records import History, SagaRow
from tests.kit.history.violation import Finding


def log_has_no_gaps(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        numbers = [logged.seq for logged in saga.log]
        if numbers != list(range(1, len(numbers) + 1)) or not numbers:
            yield saga.key, f"its log is numbered {numbers}"
        elif saga.entries not in {None, len(numbers)}:
            yield saga.key, f"its row counts {saga.entries} entries, its log has {len(numbers)}"


def state_is_the_fold_of_the_log(history: History) -> Iterator[Finding]:
    for saga in history.sagas:
        folded = replay(history.definitions[saga.saga, saga.version], _entries(saga))
        if folded.status != saga.status:
            yield saga.key, f"its row says {saga.status}, its log says {folded.status}"
        elif saga.state is not None and saga.state != folded:
            yield saga.key, f"its state is not what its log leads to: {_difference(saga.state, folded)}"


def entries_are_decisions(history: History) -> Iterator[Finding]:
    """Every entry is what the machine decides at that point, for some news that may have come."""
    for saga in history.sagas:
        definition = history.definitions[saga.saga, saga.version]
        state, left = State(), list(_entries(saga))
        while left:
            entries = decided(definition, state, left)
            if not entries:
                yield (
                    saga.key,
                    f"entry {len(saga.log) - len(left) + 1} ({left[0].kind}) was decided by nobody",
                )
                break
            for entry in entries:
                state = evolve(definition, state, entry)
            del left[: len(entries)]


def _entries(saga: SagaRow) -> list[Entry]:
    return [logged.entry for logged in saga.log]


def _difference(saved: State, folded: State) -> str:
    names = [name for name in State.__dataclass_fields__ if getattr(saved, name) != getattr(folded, name)]
    return ", ".join(f"{name} {getattr(saved, name)!r}, not {getattr(folded, name)!r}" for name in names)


RULES = (log_has_no_gaps, state_is_the_fold_of_the_log, entries_are_decisions)
