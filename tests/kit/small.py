"""Small sagas, one letter a step, with two attempts for everything."""

from contracts.requests import LeadRequested
from orchestrator.core.definition import Saga, Step, best_effort, compensatable, pivot, retriable
from orchestrator.core.durations import hours, minutes, seconds
from orchestrator.core.retry import Retry

TWICE = Retry(attempts=2, first=seconds(1), ceiling=minutes(1), budget=hours(1))
BRIEF = seconds(5)

A = compensatable("a", undo="undo_a", retry=TWICE, timeout=BRIEF, undo_retry=TWICE)
B = compensatable("b", undo="undo_b", retry=TWICE, timeout=BRIEF, undo_retry=TWICE)
P = pivot("p", retry=TWICE, timeout=BRIEF)
R = retriable("r", retry=TWICE, timeout=BRIEF)
E = best_effort("e", retry=TWICE, timeout=BRIEF)


def saga_of(*steps: Step) -> Saga:
    return Saga(name="small", version=1, begins_with=LeadRequested, deadline=hours(24), steps=steps)
