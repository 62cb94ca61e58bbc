"""What came of a run, for people."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from tests.chaos.havoc import Recovery
from tests.chaos.run import Plan, Result
from tests.kit.history.notices import exceptions
from tests.kit.history.story import story

STORIES = 3
SHOWN = 20


def report(plan: Plan, result: Result) -> Iterator[str]:
    yield from _sagas(result)
    yield from _blows(result)
    yield from _exceptions(result)
    yield f"ended by themselves, and were started again: {len(result.deaths)}"
    yield from (f"  {death}" for death in result.deaths)
    for name, left in result.unsettled.items():
        yield f"still under way: {left} {name}"
    if result.unanswered:
        yield f"never answered: {result.unanswered} orders"
    yield f"violations: {len(result.violations)}"
    yield from map(str, result.violations[:SHOWN])
    yield f"reconciled: {result.reconciled.pages} pages, {len(result.reconciled.differences)} differences"
    yield from (f"  {difference}" for difference in result.reconciled.differences[:SHOWN])
    yield from _stories(result)
    if not result.kept:
        yield f"again: {again(plan)}   (the seed repeats load, faults and blows, not how they interleave)"


def again(plan: Plan) -> str:
    return (
        f".venv/bin/python -m tests.chaos --minutes {plan.load_seconds / 60:g} --seed {plan.seed}"
        f" --orders {plan.window} --every {plan.blow_every:g} --patience {plan.settle_seconds:g}"
    )


def _sagas(result: Result) -> Iterator[str]:
    sagas = result.history.sagas
    by_status = Counter(f"{saga.saga} {saga.status}" for saga in sagas)
    yield (
        f"sagas: {len(sagas)} in {result.seconds:.0f} s ({len(sagas) / result.seconds:.0f}/s), "
        f"quiet {result.settled_after:.0f} s later"
    )
    for name, count in sorted(by_status.items()):
        yield f"  {name}: {count}"
    events = Counter(event.name for event in result.history.heard or ())
    heard = ", ".join(f"{count} {name}" for name, count in sorted(events.items()))
    yield f"events heard: {heard}; {result.repeated_events} of them again"


def _blows(result: Result) -> Iterator[str]:
    kills = sum(recovery.how == "kill" for recovery in result.recoveries)
    yield f"kills: {kills}, and {len(result.recoveries) - kills} services stopped; seconds to recover:"
    kinds = sorted({(_kind(recovery), recovery.how) for recovery in result.recoveries})
    for kind, how in kinds:
        group = [one for one in result.recoveries if (_kind(one), one.how) == (kind, how)]
        ready, progress = [one.ready for one in group], [one.progress for one in group]
        yield f"  {kind} ({how}): {len(group)}; ready {_spread(ready)}; next answer {_spread(progress)}"


def _kind(recovery: Recovery) -> str:
    return recovery.victim.partition("-")[0]


def _spread(times: Sequence[float | None]) -> str:
    known = [time for time in times if time is not None]
    never = f", never {len(times) - len(known)} times" if len(known) < len(times) else ""
    return f"p50 {median(known):.1f}, max {max(known):.1f}{never}" if known else "never"


def _exceptions(result: Result) -> Iterator[str]:
    history = result.history
    counted = exceptions(history)
    yield (
        f"not exactly once, as promised: {counted.model_calls_unknown} model calls of which nobody knows the "
        f"end (the vendor took {history.calls_at_vendor}), {counted.notices_unknown} notices perhaps sent"
    )


def _stories(result: Result) -> Iterator[str]:
    keys = dict.fromkeys(
        (violation.tenant_id, violation.saga_id)
        for violation in result.violations
        if violation.saga_id is not None
    )
    for tenant_id, saga_id in list(keys)[:STORIES]:
        yield ""
        yield from story(result.history, (tenant_id, saga_id))
