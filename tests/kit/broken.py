"""The machine and the step side with one safeguard taken out each. The walk must notice every one."""

from dataclasses import replace

from contracts.ids import Direction
from contracts.outcomes import Unknown
from orchestrator.core.definition import Kind, Saga
from orchestrator.core.log import Entry, Failed, Requested, Succeeded
from orchestrator.core.machine import decide
from orchestrator.core.moves import Draft, at_pivot, unwind
from orchestrator.core.news import Cancel, Due, News, Replied
from orchestrator.core.state import State, evolve
from steps.runtime.ruling import Effect, Ruling, Run, rule
from tests.kit.world import Side


def forgets_doubt(saga: Saga, state: State, entry: Entry) -> State:
    """The last answer alone is trusted."""
    after = evolve(saga, state, entry)
    return replace(after, doubt=state.doubt) if isinstance(entry, Failed) else after


def arms_on_success(saga: Saga, state: State, entry: Entry) -> State:
    """An undo is owed only for a step that is known to be done."""
    after = evolve(saga, state, entry)
    if isinstance(entry, Requested) and entry.direction == "do":
        return replace(after, armed=state.armed)
    if isinstance(entry, Succeeded) and saga.step(entry.step).kind is Kind.COMPENSATABLE:
        return after if entry.direction == "undo" else replace(after, armed=(*after.armed, entry.step))
    return after


def anyone_runs_again(effect: Effect, direction: Direction, attempt: int) -> Ruling:
    """An attempt that was answered, and has failed, runs again when its command comes again."""
    return Run() if effect.state == "open" else rule(effect, direction, attempt)


def forgets_the_undo(effect: Effect, direction: Direction, attempt: int) -> Ruling:
    """No mark is left that a step was undone."""
    return rule(replace(effect, state="open") if effect.state == "undone" else effect, direction, attempt)


def leaves_no_mark(side: Side, _direction: Direction) -> Side:
    """What is settled by hand may still be done by a late copy of its command."""
    return side


def timeouts_spend_attempts(saga: Saga, state: State, news: News) -> tuple[Entry, ...]:
    """A missing answer counts as a failed attempt."""
    if isinstance(news, Due) and state.waits_for == "reply" and state.step:
        news = Replied(
            at=news.at,
            step=state.step,
            direction=state.direction,
            attempt=state.attempt,
            outcome=Unknown(reason="no answer in time"),
            draw=0.0,
        )
    return decide(saga, state, news)


def ignores_late_successes(saga: Saga, state: State, news: News) -> tuple[Entry, ...]:
    """Only the attempt that is awaited may succeed."""
    awaited = state.waits_for == "reply" or not isinstance(news, Replied)
    return decide(saga, state, news) if awaited else ()


def turns_back_inside_the_pivot(saga: Saga, state: State, news: News) -> tuple[Entry, ...]:
    """A cancel rolls back even while the pivot may be happening."""
    if isinstance(news, Cancel) and at_pivot(saga, state) and state.status == "running" and not state.pivoted:
        draft = Draft(saga, state, news.at)
        unwind(draft, "cancelled")
        return tuple(draft.entries)
    return decide(saga, state, news)
