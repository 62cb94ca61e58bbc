"""What the walk may forget, so that histories that differ only in what can never matter again are one."""

from collections.abc import Collection

from contracts.ids import Direction
from orchestrator.core.definition import Saga
from orchestrator.core.state import State
from steps.runtime.ruling import Owed, Run
from tests.kit.flight import Answer, Message, Numbered, members, send
from tests.kit.mind import matters
from tests.kit.world import NOTHING, Rule, Side, effect

Work = tuple[str, Direction]


class Oblivion:
    def __init__(self, saga: Saga, rule: Rule, messages: Numbered[Message], sides: Numbered[Side]) -> None:
        self._rule, self._messages, self._sides = rule, messages, sides
        self._index = {step.name: place for place, step in enumerate(saga.steps)}
        self._worn: dict[tuple[int, bool, bool], int] = {}

    def flight(self, state: State, sides: tuple[int, ...], flight: int) -> tuple[int, set[Work]]:
        """Without answers that the machine no longer cares for (Mind proves that it then ignores them) and
        commands that a step which is over will not run any more. Also: the work whose rows still count."""
        judged: set[Work] = set()
        if state.step is not None and not state.ended:
            judged.add((state.step, state.direction))
        for number in members(flight):
            message = self._messages[number]
            if isinstance(message, Answer):
                if not matters(state, message):
                    flight = send(flight, number, 0)
                continue
            work = message.step, message.direction
            side = self._sides[sides[self._index[message.step]]]
            if work in judged:
                continue
            if isinstance(self._rule(effect(side.row(work[1])), work[1], message.attempt), Run | Owed):
                judged.add(work)
            else:
                flight = send(flight, number, 0)
        return flight, judged

    def sides(self, sides: tuple[int, ...], judged: Collection[Work]) -> tuple[int, ...]:
        """Without rows that no command is left to be judged by."""
        return tuple(
            self._wear(sides[place], do=(name, "do") in judged, undo=(name, "undo") in judged)
            for name, place in self._index.items()
        )

    def _wear(self, number: int, *, do: bool, undo: bool) -> int:
        worn = self._worn.get((number, do, undo))
        if worn is None:
            side = self._sides[number]
            kept = Side(
                do=side.do if do or side.do.owed else NOTHING,
                undo=side.undo if undo else NOTHING,
                there=side.there,
                buried=(side.buried[0] if do else 0, side.buried[1] if undo else 0),
            )
            worn = self._worn[number, do, undo] = self._sides.number(kept)
        return worn
