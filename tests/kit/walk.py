"""Every history of a small saga: all distinct (state, world, messages on their way), each visited once.

Times are collapsed: whatever the saga waits for may be due at any moment, so that no order of events is left
out and the states stay finitely many. A violation is told as the shortest story that leads to it.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from contracts.ids import Direction
from orchestrator.core import news as heard
from orchestrator.core.definition import Saga
from orchestrator.core.orders import can_resolve
from orchestrator.core.state import State
from tests.kit.flight import Answer, Command, Message, Numbered, members, send, take
from tests.kit.given import T0
from tests.kit.mind import Mind, Rules, replied
from tests.kit.oblivion import Oblivion
from tests.kit.promises import Violation, check_world
from tests.kit.world import Nature, Side, Turn, deliver, flush


class Settling(NamedTuple):
    """What was said of the step at which the saga was parked."""

    verdict: Literal["done", "not_done"]
    step: str
    direction: Direction
    attempt: int


class Node(NamedTuple):
    state: int
    sides: tuple[int, ...]
    flight: int
    dead_letters: int
    """How many more commands may end in the dead letters."""
    replays: int
    order: Settling | None = None
    """Given by an operator, and not yet taken by the orchestrator."""


class Covered(NamedTuple):
    nodes: int
    states: int
    transitions: int
    statuses: Counter[str]


class Turned(NamedTuple):
    """A turn of the world, in numbers."""

    how: str
    side: int
    reply: int | None
    taken: bool


Move = tuple[str, Node]


class Walk:
    """`natures`: for each step, where its effect lives. `forgetful`: see Oblivion."""

    def __init__(
        self,
        saga: Saga,
        natures: tuple[Nature, ...],
        rules: Rules | None = None,
        *,
        dead_letters: int = 1,
        replays: int = 1,
        forgetful: bool = True,
    ) -> None:
        self.saga, self.natures, self.rules = saga, natures, rules or Rules()
        self.forgetful = forgetful
        self.index = {step.name: place for place, step in enumerate(saga.steps)}
        self.messages: Numbered[Message] = Numbered()
        self.mind = Mind(saga, self.rules)
        self.sides: Numbered[Side] = Numbered()
        self.oblivion = Oblivion(saga, self.rules.rule, self.messages, self.sides)
        self._turns: dict[tuple[int, int], list[Turned]] = {}
        self._sound: set[tuple[int, tuple[int, ...]]] = set()
        unborn = Node(
            self.mind.number(State()),
            (self.sides.number(Side()),) * len(saga.steps),
            0,
            dead_letters,
            replays,
        )
        self.start = self._hear(unborn, heard.Accept(at=T0, request={}))

    def run(self) -> Covered:
        """Visits everything that can be reached. Raises Violation for a broken promise."""
        nodes, seen = [self.start], {self.start}
        parents, labels = array("l", [-1]), [""]
        transitions = 0
        statuses: Counter[str] = Counter()
        for place, node in enumerate(nodes):  # grows while it is walked: breadth first
            try:
                self._check(node)
                for label, reached in self._moves(node):
                    transitions += 1
                    following = self._forgetting(reached)
                    if following not in seen:
                        seen.add(following)
                        nodes.append(following)
                        parents.append(place)
                        labels.append(label)
            except Violation as violation:
                raise Violation(f"{violation}: {_story(parents, labels, place)}") from None
            statuses[self.mind.state(node.state).status] += 1
        return Covered(len(nodes), len(self.mind), transitions, statuses)

    def _check(self, node: Node) -> None:
        key = node.state, node.sides
        if key not in self._sound:
            check_world(self.saga, self.mind.state(node.state), [self.sides[side] for side in node.sides])
            self._sound.add(key)

    def reached(self) -> set[tuple[str, tuple[int, ...]]]:
        """Each state that was met, with the effects that were really there."""
        return {
            (repr(self.mind.state(state)), tuple(self.sides[side].there for side in sides))
            for state, sides in self._sound
        }

    def _forgetting(self, node: Node) -> Node:
        if not self.forgetful:
            return node
        state = self.mind.state(node.state)
        flight, judged = self.oblivion.flight(state, node.sides, node.flight)
        return node._replace(flight=flight, sides=self.oblivion.sides(node.sides, judged))

    def _moves(self, node: Node) -> Iterator[Move]:
        for number in members(node.flight):
            message = self.messages[number]
            if isinstance(message, Command):
                yield from self._command(node, number, message)
            else:
                yield self._answer(node, number, message)
        yield from self._flushes(node)
        yield from self._orders(node)

    def _command(self, node: Node, number: int, command: Command) -> Iterator[Move]:
        place = self.index[command.step]
        key = node.sides[place], number
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = self._turned(place, node.sides[place], command)
        rest = node._replace(flight=take(node.flight, number))
        for turn in turns:
            after = rest if turn.taken else node
            flight = after.flight if turn.reply is None else send(after.flight, turn.reply, 1)
            label = f"{command.direction} {command.step} {command.attempt} {turn.how}"
            yield label, after._replace(sides=_with(node.sides, place, turn.side), flight=flight)
        if node.dead_letters:
            yield self._buried(rest, place, command)

    def _buried(self, node: Node, place: int, command: Command) -> Move:
        side = self.sides[node.sides[place]].bury(command.direction, command.attempt)
        sides = _with(node.sides, place, self.sides.number(side))
        buried = node._replace(sides=sides, dead_letters=node.dead_letters - 1)
        news = heard.DeadLettered(at=T0, **command._asdict(), reason="it kills its consumer")
        return f"{command.direction} {command.step} {command.attempt} is buried", self._hear(buried, news)

    def _turned(self, place: int, number: int, command: Command) -> list[Turned]:
        side = self.sides[number]
        turns = deliver(side, self.natures[place], command.direction, command.attempt, self.rules.rule)
        return [self._numbered(command, turn) for turn in turns]

    def _numbered(self, command: Command, turn: Turn) -> Turned:
        answer = turn.reply and Answer(command.step, command.direction, *turn.reply)
        reply = None if answer is None else self.messages.number(answer)
        return Turned(turn.how, self.sides.number(turn.side), reply, turn.taken)

    def _answer(self, node: Node, number: int, answer: Answer) -> Move:
        rest = node._replace(flight=take(node.flight, number))
        step, direction, attempt, name = answer
        return f"{name} of {direction} {step} {attempt} arrives", self._hear(rest, replied(answer), number)

    def _flushes(self, node: Node) -> Iterator[Move]:
        for place, nature in enumerate(self.natures):
            if nature == "deferred":
                for turn in flush(self.sides[node.sides[place]]):
                    assert turn.reply is not None
                    name = self.saga.steps[place].name
                    reply = self.messages.number(Answer(name, "do", *turn.reply))
                    sides = _with(node.sides, place, self.sides.number(turn.side))
                    yield f"{name} {turn.how}", node._replace(sides=sides, flight=send(node.flight, reply, 1))

    def _orders(self, node: Node) -> Iterator[Move]:
        state = self.mind.state(node.state)
        if state.ended:
            return
        if state.status == "waiting":
            yield "it is started", self._hear(node, heard.Start(at=T0))
        if state.due_at is not None:
            yield "what it waits for is due", self._hear(node, heard.Due(at=T0))
        yield "its deadline passes", self._hear(node, heard.Deadline(at=T0))
        yield "it is cancelled", self._hear(node, heard.Cancel(at=T0, by="someone", reason="changed my mind"))
        if node.order is not None:
            yield self._settled(node, state, node.order)
        elif state.status == "parked":
            if node.replays:
                fewer = node._replace(replays=node.replays - 1)
                yield "it is replayed", self._hear(fewer, heard.Replay(at=T0, by="someone", reason="fixed"))
            yield from self._settlings(node, state)

    def _settlings(self, node: Node, state: State) -> Iterator[Move]:
        """An operator says what is true at this moment, and may be said of this step. Copies of the command
        may still wander about, and the order is taken whenever it likes; one is open at a time."""
        assert state.step is not None
        place = self.index[state.step]
        side = self.sides[node.sides[place]]
        absent = not side.there and not side.do.owed
        verdicts: list[Literal["done", "not_done"]] = []
        if absent if state.direction == "undo" else side.there:
            verdicts.append("done")
        if absent and can_resolve(self.saga, state, "not_done"):
            verdicts.append("not_done")
        after = self.sides.number(self.rules.settle(side, state.direction))
        for verdict in verdicts:
            order = Settling(verdict, state.step, state.direction, state.attempt)
            label = f"{state.step} is to be settled as {verdict.replace('_', ' ')}"
            yield label, node._replace(sides=_with(node.sides, place, after), order=order)

    def _settled(self, node: Node, state: State, order: Settling) -> Move:
        taken = node._replace(order=None)
        at = state.step, state.direction, state.attempt
        if self.rules.orders_name_a_step and (state.status != "parked" or order[1:] != at):
            return "its order is refused", taken
        news = heard.Resolve(at=T0, verdict=order.verdict, by="someone", reason="looked it up")
        return f"it is settled as {order.verdict.replace('_', ' ')}", self._hear(taken, news)

    def _hear(self, node: Node, news: heard.News, key: int | None = None) -> Node:
        number, commands = self.mind.hear(node.state, news, key)
        flight = node.flight
        for command in commands:
            flight = send(flight, self.messages.number(command))
        return node._replace(state=number, flight=flight)


def _with(sides: tuple[int, ...], place: int, side: int) -> tuple[int, ...]:
    return (*sides[:place], side, *sides[place + 1 :])


def _story(parents: "array[int]", labels: list[str], place: int) -> str:
    steps: list[str] = []
    while place > 0:
        steps.append(labels[place])
        place = parents[place]
    return "; ".join(reversed(steps))
