"""The machine as the walk sees it: its states in numbers, times collapsed, each decision made once."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple, get_args

from contracts.ids import Direction
from orchestrator.core import machine
from orchestrator.core import state as states
from orchestrator.core.definition import Saga
from orchestrator.core.log import Entry, Requested, Resent
from orchestrator.core.news import News, Replied
from orchestrator.core.state import State
from steps.runtime import ruling
from tests.kit.flight import Answer, Command
from tests.kit.given import T0
from tests.kit.promises import check, check_decision
from tests.kit.world import OUTCOMES, Name, Rule, Settle, settled

Decide = Callable[[Saga, State, News], tuple[Entry, ...]]
Evolve = Callable[[Saga, State, Entry], State]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is under test: the shipped functions, or broken ones that the walk must find out."""

    decide: Decide = machine.decide
    evolve: Evolve = states.evolve
    rule: Rule = ruling.rule
    settle: Settle = settled
    orders_name_a_step: bool = True


STRAYS: tuple[tuple[Direction, int, Name], ...] = tuple(product(get_args(Direction), (1, 2, 3, 4), OUTCOMES))


class Decided(NamedTuple):
    state: int
    commands: tuple[Command, ...]


def replied(answer: Answer) -> Replied:
    step, direction, attempt, name = answer
    return Replied(at=T0, step=step, direction=direction, attempt=attempt, outcome=OUTCOMES[name], draw=0.0)


def commands_of(entries: tuple[Entry, ...]) -> tuple[Command, ...]:
    return tuple(
        Command(entry.step, entry.direction, entry.attempt)
        for entry in entries
        if isinstance(entry, Requested | Resent)
    )


class Mind:
    def __init__(self, saga: Saga, rules: Rules) -> None:
        self._saga, self._rules = saga, rules
        self._numbers: dict[str, int] = {}
        self._states: list[State] = []
        self._decided: dict[tuple[int, Hashable], Decided] = {}

    def __len__(self) -> int:
        return len(self._states)

    def number(self, state: State) -> int:
        state = collapsed(state)
        number = self._numbers.setdefault(repr(state), len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._check_strays(state)
        return number

    def _check_strays(self, state: State) -> None:
        """Whatever might still wander about and matters no more appends nothing."""
        for step in self._saga.steps:
            for direction, attempt, name in STRAYS:
                if not matters(state, Answer(step.name, direction, attempt, name)):
                    news = replied(Answer(step.name, direction, attempt, name))
                    check(not self._rules.decide(self._saga, state, news), "stray answers append nothing")

    def state(self, number: int) -> State:
        return self._states[number]

    def hear(self, number: int, news: News, key: int | None = None) -> Decided:
        """`key` names the message that brought the news; others are told apart by their text."""
        known = self._decided.get((number, repr(news) if key is None else key))
        if known is None:
            known = self._decide(number, news)
            self._decided[number, repr(news) if key is None else key] = known
        return known

    def _decide(self, number: int, news: News) -> Decided:
        state = self._states[number]
        entries = self._rules.decide(self._saga, state, news)
        check_decision(self._saga, state, news, entries)
        for entry in entries:
            state = self._rules.evolve(self._saga, state, entry)
        return Decided(self.number(state), commands_of(entries))


def matters(state: State, answer: Answer) -> bool:
    """Whether the machine may still act on an answer. Once false for a message that was sent, false for ever:
    a step is not asked again after it was left, and attempts only count up."""
    step, direction, attempt, name = answer
    if state.ended or (step, direction) != (state.step, state.direction):
        return False
    return name == "done" or (state.waits_for == "reply" and attempt == state.attempt)


def collapsed(state: State) -> State:
    """Without times and texts: only whether there is one."""
    return replace(
        state,
        due_at=state.due_at and T0,
        first_at=state.first_at and T0,
        deadline_at=state.deadline_at and T0,
        resends=0,
        reason=state.reason and "a reason",
        stop=state.stop and "a reason",
        cause=None,
        facts={step: {} for step in state.facts},
    )
