"""What the machine decides and stores in stories that a live system tells rarely."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.outcomes import Done, Rejected, Transient, Unknown
from orchestrator.core.definition import Saga
from orchestrator.core.machine import decide
from orchestrator.core.news import (
    Accept,
    Cancel,
    DeadLettered,
    Deadline,
    Due,
    News,
    Replay,
    Replied,
    Resolve,
    Start,
)
from orchestrator.core.state import State, evolve
from orchestrator.sagas import CURRENT
from orchestrator.store.codec import entry_text, state_text

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TRIED_IN_VAIN = 40
"""More attempts than any policy of ours has."""


class _Told:
    """One saga, to which things happen a minute apart."""

    def __init__(self, saga: Saga) -> None:
        self.saga = saga
        self.at = NOON
        self.state = State()
        self.entries: list[Any] = []
        request = {"leads": 5, "criteria": "bicycle makers in Utrecht", "request_id": "r-1"}
        self.hear(Accept(at=self.at, request=request), Start(at=self.at))

    def hear(self, *news: News) -> "_Told":
        for each in news:
            for entry in decide(self.saga, self.state, each):
                self.state = evolve(self.saga, self.state, entry)
                self.entries.append(entry)
        return self

    def later(self, by: timedelta = timedelta(days=2)) -> "_Told":
        self.at += by
        return self.hear(Due(at=self.at), Deadline(at=self.at))

    def answers(self, outcome: Done | Rejected | Transient | Unknown) -> "_Told":
        step = self.state.step
        assert step is not None
        self.at += timedelta(minutes=1)
        return self.hear(
            Replied(
                at=self.at,
                step=step,
                direction=self.state.direction,
                attempt=self.state.attempt,
                outcome=outcome,
                draw=0.5,
            )
        )

    def does(self, times: int) -> "_Told":
        for _ in range(times):
            self.answers(Done(facts={"leads": 5}))
        return self

    def fails(self) -> "_Told":
        """Until it is given up."""
        step = (self.state.step, self.state.direction)
        for _ in range(TRIED_IN_VAIN):
            if self.state.waits_for == "retry":
                self.later(timedelta(hours=1))
            if (self.state.step, self.state.direction) == step and self.state.waits_for == "reply":
                self.answers(Unknown(reason="nobody knows", error="TimedOut"))
        return self

    def dies(self) -> "_Told":
        assert self.state.step is not None
        step, direction, attempt = self.state.step, self.state.direction, self.state.attempt
        reason = "begun 3 times"
        return self.hear(
            DeadLettered(at=self.at, step=step, direction=direction, attempt=attempt, reason=reason)
        )

    def told(self) -> dict[str, Any]:
        return {
            "saga": self.saga.name,
            "version": self.saga.version,
            "request": self.state.request,
            "state": json.loads(state_text(self.state)),
            "entries": [json.loads(entry_text(entry)) for entry in self.entries],
        }


def machine_stories() -> list[dict[str, Any]]:
    return [story.told() for saga in CURRENT for story in _stories(saga)]


def _stories(saga: Saga) -> list[_Told]:
    """At every step: what it may answer, and what may happen to the saga meanwhile."""
    order = {"by": "ada", "reason": "mended"}
    stories = [_Told(saga).does(len(saga.steps)), _Told(saga).later(timedelta(hours=1))]
    for count in range(len(saga.steps)):
        stories += [
            _Told(saga).does(count).fails(),
            _Told(saga).does(count).later(),
            _Told(saga).does(count).answers(Rejected(reason="no", error="Refused")),
            _Told(saga).does(count).answers(Transient(reason="later", retry_after=9.0, progress=True)),
            _Told(saga).does(count).hear(Cancel(at=NOON, **order)),
            _Told(saga).does(count).dies().hear(Replay(at=NOON, **order)),
            _Told(saga).does(count).dies().hear(Resolve(at=NOON, verdict="done", **order)),
            _Told(saga).does(count).dies().hear(Resolve(at=NOON, verdict="not_done", **order)),
        ]
    return stories
